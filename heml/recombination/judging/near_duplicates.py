"""Near-duplicates: perceptual hashes of images, and how much of an image changed."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.fft import dctn

#: A pixel is visibly changed if any channel differs by more than this (of 255).
VISIBLE = 8
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


def hash_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Share of differing bits, in [0, 1]."""
    return float((perceptual_hash(a) != perceptual_hash(b)).mean())


def changed(sample: np.ndarray, host: np.ndarray) -> float:
    """Share of pixels that differ visibly between two images of one size."""
    visible = np.maximum(sample, host) - np.minimum(sample, host) > VISIBLE
    # Channel by channel: reducing a last axis of three takes ten times as long.
    return float((visible[..., 0] | visible[..., 1] | visible[..., 2]).mean())
