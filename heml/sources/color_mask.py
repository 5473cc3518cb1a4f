"""Masks that tell classes by colors, as drawing programs and driving datasets write them."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from heml.images.images_table import displayed, open_image
from heml.sources.raw import Unacceptable


def ids_of_colors(data: bytes, colors: Mapping[str, int], max_pixels: int) -> bytes:
    """An RGB mask as an 8-bit gray PNG of class ids.

    Parameters
    ----------
    data : bytes
        An encoded mask; others than RGB and RGBA are given back as they are.
    colors : mapping of str to int
        `#rrggbb` → class id.
    max_pixels : int
        Larger masks are not decoded.

    Raises
    ------
    Unacceptable
        mask_unreadable, too_large, or unknown_class for a color that is not named.
    """
    try:
        with open_image(data) as image:
            if image.mode not in ("RGB", "RGBA") or image.format in ("JPEG", "MPO"):
                return data
            if image.width * image.height > max_pixels:
                raise Unacceptable("too_large", f"the mask is {image.width}×{image.height}")
            pixels = np.asarray(displayed(image).convert("RGB")).astype(np.uint32)
    except Unacceptable:
        raise
    except Exception as error:  # Pillow's parsers raise whatever broken bytes lead to
        raise Unacceptable("mask_unreadable", str(error)) from error
    packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    found, places = np.unique(packed, return_inverse=True)
    named = {int(color.removeprefix("#"), 16): number for color, number in colors.items()}
    if unknown := [f"#{color:06x}" for color in found.tolist() if color not in named]:
        more = ", …" if len(unknown) > 5 else ""
        raise Unacceptable(
            "unknown_class",
            f"colors {', '.join(unknown[:5])}{more} are not in source.mask_colors",
        )
    numbers = np.array([named[color] for color in found.tolist()], np.uint8)
    ids = Image.fromarray(numbers[places].reshape(packed.shape))
    buffer = io.BytesIO()
    ids.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
