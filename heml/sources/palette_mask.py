"""Masks with a palette of grays: do the indices or the grays name the classes?

Programs that shrink PNG files write a gray mask as indices into the grays that it uses, in an order
of their own. Programs that draw give class ids a palette to look at. Both are the same file format.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from PIL import Image

from heml.sources.raw import Unacceptable


def palette_ids(image: Image.Image, indices: np.ndarray, classes: Collection[int]) -> np.ndarray:
    """Class ids of a palette mask.

    Parameters
    ----------
    image : PIL.Image.Image
        Of mode P.
    indices : uint8 array (height, width)
    classes : collection of int
        Known class ids.

    Returns
    -------
    uint8 array (height, width)
        The indices; the grays that they show where only these are all known classes.

    Raises
    ------
    Unacceptable
        mask_unreadable, if indices and grays differ and both are known classes.
    """
    colors = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
    if not len(used) or used[-1] >= len(colors):
        return indices
    shown = colors[used]
    grays = shown[:, 0]
    if (shown != grays[:, None]).any() or len({*grays.tolist()}) < len(used):
        return indices  # colors to look at
    if (grays == used).all() or not {*grays.tolist()} <= {*classes}:
        return indices
    if {*used.tolist()} <= {*classes}:
        pairs = zip(used.tolist(), grays.tolist(), strict=True)
        index, gray = next(pair for pair in pairs if pair[0] != pair[1])
        raise Unacceptable(
            "mask_unreadable",
            f"the palette shows index {index} as gray {gray}, and both are class ids: save the ids "
            "that are meant as 8-bit gray",
        )
    table = np.arange(256, dtype=np.uint8)
    table[used] = grays
    return table[indices]
