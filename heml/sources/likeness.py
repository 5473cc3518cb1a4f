"""What an image looks like, small enough to keep for every row: a hash and a thumbnail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from heml.images.perceptual_hash import perceptual_hash

_HASHED, _SIDE = 64, 16

#: Near-duplicates: hashes differ in at most so many of 63 bits, and thumbnails in no channel of a
#: pixel by more than this, of 255. Re-encoding and scaling stay below both; another face does not.
MOST_BITS, MOST_DIFFERENCE = 3, 6


@dataclass(frozen=True)
class Likeness:
    """What an image looks like.

    Parameters
    ----------
    bits : int
        Perceptual hash, 63 bits.
    thumbnail : bytes
        RGB, 16 by 16 pixels.
    """

    bits: int
    thumbnail: bytes

    def is_near(self, other: Likeness) -> bool:
        """Whether two images are near-duplicates."""
        if (self.bits ^ other.bits).bit_count() > MOST_BITS:
            return False
        one, two = (np.frombuffer(x.thumbnail, np.uint8).astype(int) for x in (self, other))
        return bool(np.abs(one - two).max() <= MOST_DIFFERENCE)


def likeness(image: Image.Image) -> Likeness:
    """What an upright RGB image looks like."""
    small = image.resize((_HASHED, _HASHED), Image.Resampling.BOX)
    bits = 0
    for bit in perceptual_hash(np.asarray(small)).tolist():
        bits = bits << 1 | bit
    return Likeness(bits, small.resize((_SIDE, _SIDE), Image.Resampling.BOX).tobytes())
