"""How much segments hold when their image changes a little: a measure that needs no annotation.

What a segmenter finds in an image that was mirrored, shifted or enlarged a little, mapped back, is
compared with what it finds in the image itself. Segments that move with such changes hang on
details that mean nothing; segments that do not may still be wrong every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heml.segmentation.image_changes import IMAGE_CHANGES
from heml.segmentation.iou import IGNORED
from heml.segmentation.prediction import Prediction, Predictor

#: Bootstrap samples of images behind an interval.
_DRAWS = 500


@dataclass(frozen=True)
class LeafStability:
    """How one leaf of one image holds.

    Parameters
    ----------
    by_change : dict of str to float
        IoU, 0 to 1, for each change with which it is found before or after.
    word_agreement : float or None
        See `Prediction`.
    """

    by_change: dict[str, float]
    word_agreement: float | None = None

    @property
    def mean(self) -> float:
        """Over the changes."""
        return float(np.mean(list(self.by_change.values())))


def measure(
    predictor: Predictor,
    images: Sequence[np.ndarray],
    changes: Sequence[str],
    least_area: float = 0.0,
) -> list[dict[str, LeafStability]]:
    """How the segments of a batch of images hold.

    Costs one prediction of the batch, and one more for each change.

    Parameters
    ----------
    predictor : Predictor
    images : sequence of ndarray of uint8, shape (height, width, 3)
        RGB.
    changes : sequence of str
        Names of `IMAGE_CHANGES`, at least one.
    least_area : float, default 0
        Share of the pixels from which a leaf counts as found, before or after.

    Returns
    -------
    list of dict of str to LeafStability
        For each image the leaves that are found in it or after a change.
    """
    before = predictor.predict(images)
    by_leaf: list[dict[int, dict[str, float]]] = [{} for _ in images]
    for name in changes:
        change = IMAGE_CHANGES[name]
        after = predictor.predict([change.apply(pixels) for pixels in images])
        for found, one, other in zip(by_leaf, before, after, strict=True):
            for leaf, value in leaf_iou(*change.align(one.ids, other.ids), least_area).items():
                found.setdefault(leaf, {})[name] = value
    return [
        {predictor.leaves[leaf]: _leaf(leaf, found[leaf], one) for leaf in sorted(found)}
        for found, one in zip(by_leaf, before, strict=True)
    ]


def leaf_iou(one: np.ndarray, other: np.ndarray, least_area: float = 0.0) -> dict[int, float]:
    """IoU of every leaf of two predictions of the same pixels.

    Parameters
    ----------
    one, other : ndarray of uint8, one shape
        Indices of leaves, 255 where none is.
    least_area : float, default 0
        Share of the pixels that a leaf must have in at least one of them.

    Returns
    -------
    dict of int to float
        In [0, 1]; 0 for a leaf that only one of them has.
    """
    areas = [np.bincount(ids.ravel(), minlength=256) for ids in (one, other)]
    shared = np.bincount(one[one == other], minlength=256)
    union = areas[0] + areas[1] - shared
    larger = np.maximum(*areas)
    found = np.flatnonzero((larger > 0) & (larger >= least_area * one.size))
    return {int(i): float(shared[i] / union[i]) for i in found if i != IGNORED}


def leaf_summaries(
    values: Mapping[str, Sequence[float]], leaves: Sequence[str]
) -> list[dict[str, Any]]:
    """Mean of each leaf with a bootstrap interval over images.

    Parameters
    ----------
    values : mapping of str to sequence of float
        Of the images that have the leaf.
    leaves : sequence of str
        Their order; those without a value are left out.

    Returns
    -------
    list of dict
        `leaf`, `mean`, `low` and `high` of the 95% interval, None from a single image, and
        `images`.
    """
    return [
        {"leaf": leaf, **_summary(values[leaf]), "images": len(values[leaf])}
        for leaf in leaves
        if values.get(leaf)
    ]


def _summary(values: Sequence[float]) -> dict[str, float | None]:
    numbers = np.asarray(values, float)
    if len(numbers) == 1:
        return {"mean": round(float(numbers[0]), 6), "low": None, "high": None}
    drawn = np.random.default_rng(0).choice(numbers, (_DRAWS, len(numbers))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "mean": round(float(numbers.mean()), 6),
        "low": round(float(low), 6),
        "high": round(float(high), 6),
    }


def _leaf(leaf: int, by_change: dict[str, float], before: Prediction) -> LeafStability:
    return LeafStability(by_change, before.word_agreement.get(leaf))
