"""Fitting a semantic segmenter on annotated images.

Knows arrays of pixels and class indices, and a transformers model; no stores, no taxonomies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import kornia.augmentation as K
import numpy as np
import torch
from kornia.constants import DataKey
from torch import nn
from torch.nn.functional import cross_entropy, interpolate
from torch.optim.swa_utils import AveragedModel

from heml.compute.device import mixed_precision
from heml.compute.progress import Progress, silent
from heml.compute.threads import seeded
from heml.segmentation.iou import IGNORED
from heml.segmentation.training_batches import Batches, Examples

#: Exponent of the class frequencies in the weights of the cross entropy: 0 counts pixels, 1 counts
#: classes. Mean IoU counts classes, but full weights make large classes ragged.
_RARITY = 0.35

_EPSILON = 1e-8

#: Of the moving average of the weights.
_DECAY = 0.995

#: Until which share of the steps images are how much smaller: shapes are learned faster there,
#: borders afterwards.
_COARSE = ((0.5, 0.5), (0.8, 0.75))

#: Until which share of the steps pseudo-labeled images are learned from, where there are any.
_PSEUDO_LABELED = 0.6


@dataclass(frozen=True)
class Fit:
    """How a segmenter is fitted.

    Parameters
    ----------
    size : tuple of int
        Height and width of the training images, multiples of 32.
    steps : int
    batch_size : int
    learning_rate : float
        Peak of the one-cycle schedule of AdamW.
    seed : int
    device : str, default "cpu"
    mirror : bool, default True
        Whether an image's mirror image is as good an example.
    """

    size: tuple[int, int]
    steps: int
    batch_size: int
    learning_rate: float
    seed: int = 0
    device: str = "cpu"
    mirror: bool = True


def class_weights(masks: np.ndarray, classes: int) -> torch.Tensor:
    """Weights of the cross entropy, mean 1: rarer classes count more.

    Parameters
    ----------
    masks : ndarray of uint8, shape (n, height, width)
    classes : int

    Returns
    -------
    Tensor of float32, shape (classes,)
        0 for a class without pixels.
    """
    found = np.bincount(masks.ravel(), minlength=256)[:classes].astype(float)
    weights = np.where(found > 0, np.maximum(found, 1) ** -_RARITY, 0.0)
    return torch.tensor(weights / weights[found > 0].mean(), dtype=torch.float32)


def pseudo_label_share(done: float) -> float:
    """Share of pseudo-labeled images in a batch: first these alone, then annotated ones alone.

    What is learned last is what the annotator meant. Mixed batches learn more from good labels,
    but take over the mistakes of others.

    Parameters
    ----------
    done : float
        How much of the training is done, 0 to 1.
    """
    return 1.0 if done < _PSEUDO_LABELED else 0.0


def _augmentation(mirror: bool) -> K.AugmentationSequential:
    return K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5 if mirror else 0.0),
        # Mild: in the steps that a few cores do in minutes, a model underfits.
        K.RandomAffine(8.0, translate=(0.08, 0.08), scale=(0.85, 1.2), p=0.7),
        K.ColorJiggle(0.2, 0.2, 0.2, 0.02, p=0.5),
        data_keys=["input", "mask"],
        extra_args={DataKey.MASK: {"resample": "nearest", "align_corners": None}},
    )


def fit(
    model: nn.Module,
    annotated: Examples,
    classes: int,
    how: Fit,
    normalize: Callable[[torch.Tensor], torch.Tensor],
    progress: Progress = silent,
    pseudo_labeled: Examples | None = None,
) -> nn.Module:
    """Fits a model and gives its averaged weights.

    Parameters
    ----------
    model : Module
        A transformers semantic-segmentation model; its logits have `classes` channels.
    annotated : Examples
        Class indices below `classes`, or `IGNORED`.
    classes : int
    how : Fit
    normalize : callable
        From RGB in [0, 1], (b, 3, h, w), to what the model was made for.
    progress : Progress
    pseudo_labeled : Examples, optional
        Learned from beside the annotated ones, see `pseudo_label_share`.

    Returns
    -------
    Module
        The exponential moving average of the weights, in evaluation mode.
    """
    weights = class_weights(annotated.masks, classes)
    batches = Batches(annotated, how.batch_size, how.seed, pseudo_labeled, pseudo_label_share)
    device, weights = how.device, weights.to(how.device)
    model.to(device)
    moving = _MovingAverage()
    average = AveragedModel(model, avg_fn=moving, use_buffers=True)
    optimizer = torch.optim.AdamW(_groups(model), lr=how.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, how.learning_rate, total_steps=how.steps, pct_start=0.1
    )
    augmentation = _augmentation(how.mirror)
    model.train()
    with seeded(how.seed):
        for step in range(how.steps):
            images, masks = batches.take(step / how.steps)
            x = torch.from_numpy(images).permute(0, 3, 1, 2).to(device).float() / 255
            # shifted by one, so that what a turn brings in from outside, 0, is known as such
            y = torch.from_numpy(masks).to(device).float()[:, None]
            y = torch.where(y == IGNORED, 0.0, y + 1)
            size = _size_at(step / how.steps, how.size)
            x = interpolate(x, size=size, mode="bilinear", antialias=True)
            y = interpolate(y, size=size, mode="nearest")
            x, y = augmentation(x, y)
            target = (y[:, 0].round().long() - 1) % 256
            with mixed_precision(torch.device(device)):
                logits = model(pixel_values=normalize(x)).logits
            logits = interpolate(logits.float(), size=size, mode="bilinear")
            loss = _weighted(logits, target, weights) + 0.5 * dice(logits, target)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            moving.count = step
            average.update_parameters(model)
            if step % 50 == 0:
                progress(f"segmenter: step {step} of {how.steps}, loss {loss.item():.3f}")
    return average.module.eval()


class _MovingAverage:
    """Exponential, over the last 200 steps; over fewer in the beginning, to forget it.

    Counts steps itself: the library's count lies on the device, and an accelerator would wait for
    it at every tensor.
    """

    count = 0

    def __call__(
        self, average: torch.Tensor, current: torch.Tensor, count: torch.Tensor | int
    ) -> torch.Tensor:
        decay = min(_DECAY, (1 + self.count) / (10 + self.count))
        return average.lerp(current, 1 - decay) if average.is_floating_point() else current


def _size_at(done: float, size: tuple[int, int]) -> tuple[int, int]:
    scale = next((scale for until, scale in _COARSE if done < until), 1.0)
    height, width = (8 * math.ceil(scale * side / 8) for side in size)
    return height, width


def _weighted(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross entropy per known pixel; 0, where the library's mean is no number, without any."""
    total = cross_entropy(logits, target, weights, ignore_index=IGNORED, reduction="sum")
    return total / weights[target[target != IGNORED]].sum().clamp(min=1.0)


def dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Dice loss over known pixels, the mean over images and classes.

    kornia's counts every pixel.

    Parameters
    ----------
    logits : Tensor of float, shape (b, classes, h, w)
    target : Tensor of int, shape (b, h, w)
        Class, or `IGNORED`.
    """
    known = (target != IGNORED)[:, None]
    shares = logits.softmax(1) * known
    wanted = torch.nn.functional.one_hot(torch.where(known[:, 0], target, 0), logits.shape[1])
    wanted = wanted.movedim(-1, 1) * known
    common = (shares * wanted).sum((2, 3))
    return (1 - 2 * common / ((shares + wanted).sum((2, 3)) + _EPSILON)).mean()


def _groups(model: nn.Module) -> list[dict[str, object]]:
    """Weight decay for matrices and kernels alone, as usual for transformers."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
