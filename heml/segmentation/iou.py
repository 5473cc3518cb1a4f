"""Intersection over union of predicted and annotated classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

IGNORED = 255


def confusion(annotated: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Pixels by annotated (row) and predicted (column) class; the last column is no class.

    Parameters
    ----------
    annotated, predicted : ndarray of uint8, same shape
        Class indices, or 255. Pixels without annotation do not count.
    classes : int

    Returns
    -------
    ndarray of int64, shape (classes, classes + 1)
    """
    known = annotated != IGNORED
    guess = np.where(predicted[known] == IGNORED, classes, predicted[known]).astype(np.int64)
    pairs = annotated[known].astype(np.int64) * (classes + 1) + guess
    return np.bincount(pairs, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def iou(matrix: np.ndarray) -> np.ndarray:
    """IoU of every class from confusion matrices.

    Parameters
    ----------
    matrix : ndarray, shape (..., classes, classes + 1)

    Returns
    -------
    ndarray of float64, shape (..., classes)
        NaN for a class that was neither annotated nor predicted.
    """
    hit = np.diagonal(matrix[..., :-1], axis1=-2, axis2=-1)
    union = matrix.sum(-1) + matrix[..., :-1].sum(-2) - hit
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(union > 0, hit / union, np.nan)


@dataclass(frozen=True)
class MeanIoU:
    """Mean IoU over classes with a bootstrap interval over images.

    Parameters
    ----------
    value, low, high : float
        In [0, 1]; the interval is 95%.
    by_class : dict of str to (float or None)
        None for a class that no image has.
    images : int
    """

    value: float
    low: float
    high: float
    by_class: dict[str, float | None]
    images: int


def mean_iou(matrices: np.ndarray, names: list[str], seed: int, draws: int = 500) -> MeanIoU:
    """Mean IoU of held-out images.

    Parameters
    ----------
    matrices : ndarray of int64, shape (images, classes, classes + 1)
        One confusion matrix per image.
    names : list of str
        Classes.
    seed : int
    draws : int, default 500
        Bootstrap samples of images.

    Raises
    ------
    ValueError
        If there is no image, or none with an annotated class.
    """
    if not len(matrices) or not matrices.any():
        raise ValueError("mean IoU needs at least one image with annotated classes")
    by_class = iou(matrices.sum(0))
    counts = np.random.default_rng(seed).multinomial(
        len(matrices), np.full(len(matrices), 1 / len(matrices)), size=draws
    )
    drawn = np.tensordot(counts, matrices, axes=1)
    means = np.nanmean(iou(drawn), axis=1)
    low, high = np.nanquantile(means, [0.025, 0.975])
    shown = {n: None if np.isnan(v) else float(v) for n, v in zip(names, by_class, strict=True)}
    return MeanIoU(float(np.nanmean(by_class)), float(low), float(high), shown, len(matrices))
