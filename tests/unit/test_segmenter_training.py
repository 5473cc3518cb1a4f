"""Fitting a segmenter: what it sees, what it weighs, and pixels that nobody annotated."""

import numpy as np
import pytest
import torch

from heml.segmentation.fit import Fit, class_weights, dice, fit
from heml.segmentation.iou import IGNORED
from heml.segmentation.segformer import new_model
from heml.segmentation.trained_settings import TrainedSegmentation
from heml.segmentation.training_batches import Examples

SIDE = 32


class Pixelwise(torch.nn.Module):
    """Classes from a pixel's own color; remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Conv2d(3, 2, 1)
        self.shown = []

    def forward(self, pixel_values):
        self.shown.append(pixel_values.detach().clone())
        return type("Output", (), {"logits": self.head(pixel_values)})

    def __deepcopy__(self, memo):
        copy = Pixelwise()
        copy.load_state_dict(self.state_dict())
        return copy


def halves(count):
    """Images whose right half is bright and of class 1."""
    images = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    images[:, :, SIDE // 2 :] = 220
    masks = np.zeros((count, SIDE, SIDE), np.uint8)
    masks[:, :, SIDE // 2 :] = 1
    return images, masks


def fitted(images, masks, **changes):
    torch.manual_seed(0)
    model = Pixelwise()
    how = {"size": (SIDE, SIDE), "steps": 12, "batch_size": 4, "learning_rate": 0.1} | changes
    average = fit(model, Examples(images, masks), 2, Fit(**how), lambda x: x)
    return model, average


@pytest.mark.parametrize("mirror", [True, False])
def test_mirror_images_are_shown_if_wanted(mirror):
    model, _ = fitted(*halves(8), mirror=mirror)
    shown = torch.cat([x.mean(1) for x in model.shown if x.shape[-1] == SIDE])
    left_is_bright = shown[:, :, :8].mean((1, 2)) > shown[:, :, -8:].mean((1, 2))
    assert left_is_bright.any() == mirror


def test_pseudo_labeled_images_come_first_and_annotated_ones_last():
    images, masks = halves(8)
    model = Pixelwise()
    how = Fit((SIDE, SIDE), steps=50, batch_size=4, learning_rate=0.1, mirror=False)
    others = Examples(images[:, :, ::-1].copy(), masks)  # whose left half is bright
    fit(model, Examples(images, masks), 2, how, lambda x: x, pseudo_labeled=others)
    left = [bool(x[..., :4].mean() > x[..., -4:].mean()) for x in model.shown]
    assert left == [True] * 30 + [False] * 20


def test_what_color_tells_is_learned_and_averaged():
    _, average = fitted(*halves(8), steps=60)
    with torch.no_grad():
        logits = average(torch.tensor([0.0, 0.86])[:, None, None, None].expand(2, 3, 1, 1)).logits
    assert logits.argmax(1).flatten().tolist() == [0, 1]


def test_batches_without_any_annotated_pixel_do_no_harm():
    images, masks = halves(6)
    masks[::2] = IGNORED
    model, average = fitted(images, masks, batch_size=1)
    for parameter in [*model.parameters(), *average.parameters()]:
        assert torch.isfinite(parameter).all()


def test_the_same_seed_gives_the_same_weights():
    first, again = fitted(*halves(8))[1], fitted(*halves(8))[1]
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_rarer_classes_weigh_more_and_absent_ones_nothing():
    """Sixteen times rarer: 16 ** .35 = 2.64 times the weight; the mean is 1."""
    masks = np.zeros((1, 4, 17), np.uint8)
    masks[:, :, 16] = 2
    weights = class_weights(masks, 3)
    assert weights[1] == 0
    assert weights[2] / weights[0] == pytest.approx(16**0.35)
    assert weights[[0, 2]].mean() == pytest.approx(1)


def test_noise_passes_the_convolutions_of_an_untrained_model_at_its_own_strength():
    model = new_model(TrainedSegmentation(kind="trained"), ["a", "b"], None)
    depthwise = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1]
    assert len(depthwise) == 8
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for conv in depthwise:
            x = torch.randn(4, conv.in_channels, 16, 16, generator=noise)
            # twice, for the half that the activation takes
            assert 1.5 < conv(x)[..., 1:-1, 1:-1].var() < 2.5


def test_dice_of_unknown_pixels_does_not_count():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, generator=rng, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 4), generator=rng)
    target[:, :2] = IGNORED
    value = dice(logits, target)
    known = dice(logits[:, :, 2:], target[:, 2:])
    assert value.item() == pytest.approx(known.item())
    value.backward()
    assert (logits.grad[:, :, :2] == 0).all()
    assert (logits.grad[:, :, 2:] != 0).any()


def test_dice_of_a_certain_and_right_prediction_is_0():
    target = torch.tensor([[[0, 1], [1, IGNORED]]])
    logits = 100 * torch.nn.functional.one_hot(torch.where(target == IGNORED, 0, target), 2)
    assert dice(logits.movedim(-1, 1).float(), target).item() == pytest.approx(0, abs=1e-6)
