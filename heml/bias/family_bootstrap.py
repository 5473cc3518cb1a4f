"""Bootstrap intervals over families of images, all resamples at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: Resamples of every interval, and what they leave out on both sides together.
RESAMPLES, OUTSIDE = 500, 0.05


@dataclass(frozen=True)
class Measured:
    """A number with its 95% bootstrap interval over families of images.

    Parameters
    ----------
    value, low, high : float
    n : int
        Images behind it.
    """

    value: float
    low: float
    high: float
    n: int


def resampled_auc(times: np.ndarray, recombined: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of every resample, ties counted by half; NaN with one kind alone.

    Parameters
    ----------
    times : int array (R, N)
        How often each image is drawn.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    # Images of one score are taken together.
    above, below = (
        np.add.reduceat(times[:, order] * kind[order], starts, axis=1).astype(float)
        for kind in (recombined, ~recombined)
    )
    lower = np.cumsum(below, axis=1) - below / 2
    pairs = above.sum(axis=1) * below.sum(axis=1)
    wins = (above * lower).sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(times), np.nan), where=pairs > 0)


def resampled_accuracy(
    times: np.ndarray, keys: np.ndarray, right: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Mean share of what is right, by weight, over all keys from 0 on, of every resample.

    Parameters
    ----------
    times : int array (R, N)
        How often each image is drawn.
    """
    kept = keys >= 0
    places = np.unique(keys[kept], return_inverse=True)[1]
    table = np.eye(places.max(initial=0) + 1)[places] * weights[kept, None]
    masses = times[:, kept] @ table
    hits = times[:, kept] @ (table * right[kept, None])
    shares = np.divide(hits, masses, out=np.zeros_like(hits), where=masses > 0)
    there = (masses > 0).sum(axis=1)
    return np.divide(shares.sum(axis=1), there, out=np.full(len(times), np.nan), where=there > 0)


def bootstrapped(
    measure: Callable[[np.ndarray], np.ndarray], families: np.ndarray, rng: np.random.Generator
) -> Measured:
    """Resamples whole families: an image and its recombinations are not independent.

    Parameters
    ----------
    measure : callable
        From how often each image is drawn, int array (R, N), the measure of every resample (R,).
    """
    names, codes = np.unique(families, return_inverse=True)
    count = len(names)
    drawn = [
        np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(RESAMPLES)
    ]
    low, high = np.nanquantile(measure(np.stack(drawn)[:, codes]), [OUTSIDE / 2, 1 - OUTSIDE / 2])
    everything = measure(np.ones((1, len(codes)), int))
    return Measured(float(everything[0]), float(low), float(high), len(codes))
