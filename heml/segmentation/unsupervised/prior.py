"""Where the objects of a set are: what its images agree on about places."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.ndimage import zoom

#: Side of the map that stands for all images, whatever their shape.
SIDE = 32


def learn_prior(maps: Iterable[np.ndarray]) -> np.ndarray:
    """Mean of maps over the unit square.

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
    total, count = np.zeros((SIDE, SIDE)), 0
    for one in maps:
        total += stretched(one, (SIDE, SIDE))
        count += 1
    if not count:
        raise ValueError("no maps")
    span = max(float(np.ptp(total)), 1e-9)
    return np.asarray((total - total.min()) / span, np.float32)


def stretched(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map enlarged or reduced to a size, linearly."""
    factors = size[0] / values.shape[0], size[1] / values.shape[1]
    return zoom(values, factors, order=1, grid_mode=True, mode="nearest")
