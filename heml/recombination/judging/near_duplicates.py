"""Near-duplicates: perceptual hashes of images, and how much of an image changed."""

from __future__ import annotations

import numpy as np

from heml.images.perceptual_hash import perceptual_hash

#: A pixel is visibly changed if any channel differs by more than this (of 255).
VISIBLE = 8


def hash_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Share of differing bits, in [0, 1]."""
    return float((perceptual_hash(a) != perceptual_hash(b)).mean())


def changed(sample: np.ndarray, host: np.ndarray) -> float:
    """Share of pixels that differ visibly between two images of one size."""
    visible = np.maximum(sample, host) - np.minimum(sample, host) > VISIBLE
    # Channel by channel: reducing a last axis of three takes ten times as long.
    return float((visible[..., 0] | visible[..., 1] | visible[..., 2]).mean())
