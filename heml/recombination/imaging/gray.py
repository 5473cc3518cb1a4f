"""Gray pictures stay gray."""

from __future__ import annotations

import numpy as np


def in_gray(image: np.ndarray) -> np.ndarray:
    """The luma of colors (ITU-R BT.601) in all three channels.

    Parameters
    ----------
    image : uint8 array (..., 3)

    Returns
    -------
    uint8 array (..., 3)
    """
    luma = (image @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    return np.repeat(luma[..., None], 3, axis=-1)
