"""Perceptual hashes: images that look alike have hashes that differ in few bits."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.fft import dctn

_SIDE, _LOW = 32, 8


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Signs of the low frequencies of a small gray version (pHash; Zauner 2010).

    Parameters
    ----------
    image : uint8 array (H, W, 3)

    Returns
    -------
    bool array (63,)
        The mean brightness is left out.
    """
    small = Image.fromarray(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    low = dctn(np.asarray(small, float), norm="ortho")[:_LOW, :_LOW].ravel()[1:]
    return low > np.median(low)
