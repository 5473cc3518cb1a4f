"""The bounding box of a mask."""

from __future__ import annotations

import numpy as np


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """Smallest box around all pixels of a mask.

    Parameters
    ----------
    mask : bool or integer array (H, W)

    Returns
    -------
    tuple (left, top, right, bottom) in pixels, right and bottom exclusive; None without a pixel.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
