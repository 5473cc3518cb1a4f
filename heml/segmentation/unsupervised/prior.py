"""Where the objects of a set are: what its images agree on about places."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.ndimage import zoom

#: Side of the map that stands for all images, whatever their shape.
SIDE = 32


def learn_prior(maps: Iterable[np.ndarray]) -> np.ndarray:
    """Where objects are most and least: the mean of maps over the unit square, scaled.

    Parameters
    ----------
    maps : iterable of ndarray of float64, shape (height, width)
        How much each pixel is object, 0 to 1.

    Returns
    -------
    ndarray of float32, shape (32, 32)
        0 where objects are least to 1 where they are most; 0 everywhere where no place differs.

    Raises
    ------
    ValueError
        If there is no map.
    """
    mean = mean_map(maps, SIDE)
    return np.asarray((mean - mean.min()) / max(float(np.ptp(mean)), 1e-9), np.float32)


def mean_map(maps: Iterable[np.ndarray], side: int) -> np.ndarray:
    """Mean of maps of any shape over the unit square, (side, side).

    Raises
    ------
    ValueError
        If there is no map.
    """
    total, count = np.zeros((side, side)), 0
    for one in maps:
        total += stretched(one, (side, side))
        count += 1
    if not count:
        raise ValueError("no maps")
    return total / count


def stretched(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map enlarged or reduced to a size, linearly."""
    factors = size[0] / values.shape[0], size[1] / values.shape[1]
    return zoom(values, factors, order=1, grid_mode=True, mode="nearest")
