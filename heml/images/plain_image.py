"""Images as every reader decodes them: 8 bits, upright, nothing to see through.

A training script that opens a dataset with plain Pillow must get from real rows what it gets from
recombined ones.
"""

from __future__ import annotations

import io

from PIL import Image

from heml.images.images_table import decode_image, orientation
from heml.images.png_chunks import without_long_texts

_ORIENTATION = 0x0112


def plain_image(data: bytes, image: Image.Image) -> bytes:
    """The data where plain Pillow, converting to RGB, gives what `decode_image` gives; else a PNG.

    Parameters
    ----------
    data : bytes
        An encoded image.
    image : PIL.Image.Image
        The same, opened and not yet loaded.

    Returns
    -------
    bytes
        The same object, or an RGB PNG of the pixels as displayed.
    """
    turned_tiff = image.format == "TIFF" and image.getexif().get(_ORIENTATION, 1) != 1
    plain = (
        orientation(image) == 1
        # Pillow turns a TIFF itself, other readers do not
        and not turned_tiff
        and not image.mode.startswith("I")
        and _is_opaque(image)
        and without_long_texts(data) is data
    )
    if plain:
        return data
    buffer = io.BytesIO()
    Image.fromarray(decode_image(data)).save(buffer, "PNG")
    return buffer.getvalue()


def _is_opaque(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return True
    return bool(image.convert("RGBA").getchannel("A").getextrema()[0] == 255)
