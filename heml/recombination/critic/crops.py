"""Small pieces of a sample at full resolution where it was edited, and of real images there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

#: Side of a piece in pixels, and pieces of each image.
SIDE, PIECES = 48, 2
#: A pixel counts as changed beyond this difference in any channel: the edit wrote all others back.
CHANGED = 2
#: Width of the band along the edit's outline in which pieces are centered, in pixels.
BAND = 3


class Crops(NamedTuple):
    """Pieces of a sample, and of its host and its donor at the same places.

    Parameters
    ----------
    sample : uint8 array (PIECES, 3, SIDE, SIDE)
    real : uint8 array (2 * PIECES, 3, SIDE, SIDE)
        Host first. Both are photographs: the host has the sample's label, the donor its attribute
        value, so that neither says which is which.
    """

    sample: np.ndarray
    real: np.ndarray


def edit_crops(sample: np.ndarray, host: np.ndarray, donor: np.ndarray, seed: int) -> Crops | None:
    """Pieces around an edit.

    Parameters
    ----------
    sample, host : uint8 arrays (H, W, 3)
    donor : uint8 array (h, w, 3)
    seed : int
        Chooses places along the edit's outline.

    Returns
    -------
    Crops, or None if nothing was changed.
    """
    apart = np.abs(sample.astype(np.int16) - host).max(axis=2) > CHANGED
    if not apart.any():
        return None
    inner = binary_erosion(apart, iterations=BAND)
    outline = binary_dilation(apart, iterations=BAND) & ~inner
    places = np.flatnonzero(outline if outline.any() else apart)
    chosen = np.random.default_rng(seed).choice(places, PIECES)
    shares = [np.array(divmod(int(place), apart.shape[1])) / apart.shape for place in chosen]
    return Crops(
        np.stack([_piece(sample, share) for share in shares]),
        np.stack([_piece(image, share) for image in (host, donor) for share in shares]),
    )


def _piece(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    """A square around a place (y, x as shares of the size); small images are mirrored beyond their
    border."""
    height, width = image.shape[:2]
    room = [(0, max(SIDE - height, 0)), (0, max(SIDE - width, 0)), (0, 0)]
    if height < SIDE or width < SIDE:
        image = np.pad(image, room, mode="symmetric")
    limits = np.array(image.shape[:2]) - SIDE
    top, left = np.clip((share * (height, width)).astype(int) - SIDE // 2, 0, limits)
    return image[top : top + SIDE, left : left + SIDE].transpose(2, 0, 1)
