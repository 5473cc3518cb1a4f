"""The artifact detector finds a planted mark, and nothing where there is none."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from heml.audit.edit_detectability import measure_edit_detectability
from heml.bias.family_bootstrap import resampled_accuracy, resampled_auc
from heml.recombination.judging.detector import train_detector


def images(count: int, seed: int) -> np.ndarray:
    """Smooth random images."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (count, 3, 4, 4))
    fine = coarse.repeat(8, axis=2).repeat(8, axis=3) + rng.normal(0, 4, (count, 3, 32, 32))
    return fine.clip(0, 255).astype(np.uint8)


def marked(segmented_images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A faint checkerboard in one corner, as careless pasting would leave."""
    board = (np.indices((12, 12)).sum(axis=0) % 2 * 24 - 12)[None, None]
    result = segmented_images.astype(int)
    result[rows, :, 4:16, 4:16] += board
    return result.clip(0, 255).astype(np.uint8)


def test_training_does_not_wait_for_its_device_in_a_step():
    # Tensors of the device "meta" have no values: whoever asks for one fails.
    pixels, recombined = images(12, 0), np.arange(12) % 2 == 0
    meta = torch.device("meta")
    network = train_detector(pixels, np.arange(12), recombined, 3, 4, seed=0, device=meta)
    assert {parameter.device for parameter in network.parameters()} == {meta}


N = 180
LABELS = np.where(np.arange(N) % 2, "open", "closed")
FAMILIES = np.arange(N) // 3


def measure(segmented_images: np.ndarray, recombined: np.ndarray, attributes=None, weights=None):
    return measure_edit_detectability(
        segmented_images,
        recombined,
        LABELS,
        FAMILIES,
        attributes,
        weights,
        steps=40,
        batch_size=32,
        seed=1,
    )


def test_a_mark_that_tells_the_label_is_found():
    recombined = (LABELS == "open") & (np.random.default_rng(0).random(N) < 0.9)
    found = measure(marked(images(N, 0), recombined), recombined)
    assert found.detector.low > 0.9
    assert found.label.value > 0.8
    assert found.encodes_label
    assert found.chance == 0.5


def test_a_mark_on_every_label_alike_tells_none():
    recombined = np.random.default_rng(2).random(N) < 0.5
    found = measure(marked(images(N, 3), recombined), recombined)
    assert found.detector.low > 0.9
    assert not found.encodes_label
    assert found.label.low <= 0.5 + 0.02


def test_no_mark_is_not_found():
    recombined = LABELS == "open"
    found = measure(images(N, 4), recombined)
    assert found.detector.low < 0.55
    assert not found.encodes_label
    assert found.describe()["n"] == N


#: In one attribute the common label is real and the other recombined; in the second it is the
#: opposite.
ATTRIBUTES = np.where(np.arange(N) // 2 % 2, "dark", "light")
AGAINST = (LABELS == "open") == (ATTRIBUTES == "dark")


def test_a_mark_that_tells_the_label_within_attributes_alone_is_found():
    segmented_images = marked(images(N, 5), AGAINST)
    found = measure(segmented_images, AGAINST, attributes=ATTRIBUTES)
    assert found.label.low <= 0.5 + 0.02
    assert found.label_within.low > 0.8
    assert found.encodes_label
    assert found.describe()["label_accuracy_within_attributes"] == found.label_within.value


def test_weights_take_out_what_a_mark_tells():
    """Nine in ten images of one label are recombined, one in ten of the other: weighed so that
    both have as many of each kind, the mark tells nothing."""
    often = np.random.default_rng(6).random(N) < 0.9
    recombined = often == (LABELS == "open")
    segmented_images = marked(images(N, 7), recombined)
    kinds = [(label == LABELS) & (recombined == made) for label in ("open", "closed")
             for made in (False, True)]  # fmt: skip
    weights = np.select(kinds, [1 / kind.sum() for kind in kinds])
    assert measure(segmented_images, recombined).encodes_label
    assert not measure(segmented_images, recombined, weights=weights).encodes_label


def test_attributes_of_one_label_or_one_kind_are_not_asked():
    recombined = np.random.default_rng(8).random(N) < 0.5
    for attributes in (LABELS, recombined):
        assert measure(images(N, 9), recombined, attributes=attributes).label_within is None


def test_one_kind_of_image_is_an_error():
    with pytest.raises(ValueError, match="one kind alone"):
        measure(images(N, 0), np.zeros(N, bool))
    with pytest.raises(ValueError, match="of one length"):
        measure_edit_detectability(images(4, 0), np.zeros(3, bool), LABELS[:4], FAMILIES[:4])


def test_measures_of_resamples_are_those_of_the_drawn_rows():
    rng = np.random.default_rng(3)
    times = rng.integers(0, 3, (5, 40))
    scores, kind = rng.integers(0, 6, 40) / 5, rng.random(40) < 0.5
    keys, right = rng.integers(0, 3, 40), rng.random(40) < 0.5
    for row, area, share in zip(
        times,
        resampled_auc(times, kind, scores),
        resampled_accuracy(times, keys, right, np.ones(40)),
        strict=True,
    ):
        drawn = np.repeat(np.arange(40), row)
        assert area == pytest.approx(roc_auc_score(kind[drawn], scores[drawn]))
        guess = np.where(right, keys, keys + 9)[drawn]
        shares = [(guess == key)[keys[drawn] == key].mean() for key in range(3)]
        assert share == pytest.approx(np.mean(shares))


def test_resamples_of_one_kind_have_no_area():
    assert np.isnan(
        resampled_auc(np.array([[1, 0]]), np.array([True, False]), np.array([0.1, 0.2]))
    ).all()
