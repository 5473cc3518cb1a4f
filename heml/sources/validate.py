"""What an acceptable image and mask are: pure functions of bytes. Rows, files and order are not
looked at here."""

from __future__ import annotations

import io
import struct
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from heml.images.images_table import decode_mask, displayed_size, open_image
from heml.images.plain_image import plain_image
from heml.sources.likeness import Likeness, likeness
from heml.sources.palette_mask import palette_ids
from heml.sources.raw import Unacceptable

_LOSSY = ("JPEG", "MPO", "AVIF", "JPEG2000")

#: Magic bytes → where width and height are, which PIL does not tell when they are 0.
_DECLARED_SIZE = {
    b"\x89PNG\r\n\x1a\n": (">II", 16),
    b"GIF8": ("<HH", 6),
    b"BM": ("<ii", 18),
}


@dataclass(frozen=True)
class CheckedMask:
    """An acceptable mask.

    Parameters
    ----------
    png : bytes
        8-bit gray PNG of class ids.
    ids : ndarray of uint8, shape (height, width)
    """

    png: bytes
    ids: np.ndarray


@dataclass(frozen=True)
class CheckedImage:
    """An acceptable image.

    Parameters
    ----------
    data : bytes
        The image as it is stored: the given bytes where plain readers decode them alike.
    size : tuple of int
        Width and height in pixels, as displayed.
    likeness : Likeness
    """

    data: bytes
    size: tuple[int, int]
    likeness: Likeness


def check_image(data: bytes, max_pixels: int) -> CheckedImage:
    """Decodes an image once to see that it can be.

    Raises
    ------
    Unacceptable
        empty_image, not_an_image, too_large, animated or truncated.
    """
    if not data:
        raise Unacceptable("empty_image", "the file has no bytes")
    try:
        image = open_image(data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unacceptable("too_large", str(error)) from error
    except Exception as error:  # PIL's parsers raise whatever broken bytes lead to
        raise _unopened(data, error) from error
    with image:
        if image.width * image.height > max_pixels:
            raise Unacceptable(
                "too_large", f"{image.width}×{image.height} pixels, the limit is {max_pixels}"
            )
        # MPO is what phones write: one photograph with previews behind it
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise Unacceptable("animated", f"{getattr(image, 'n_frames', 0)} frames")
        if image.mode == "F":
            raise Unacceptable("not_an_image", "floating-point pixels: save with 8 or 16 bits")
        try:
            plain = plain_image(data, image)
            image.load()
            if plain is data:
                looks = likeness(image.convert("RGB"))
            else:
                with open_image(plain) as upright:
                    looks = likeness(upright.convert("RGB"))
        except Exception as error:
            raise Unacceptable("truncated", _said(error)) from error
        return CheckedImage(plain, displayed_size(image), looks)


def check_mask(data: bytes, size: tuple[int, int], classes: Collection[int]) -> CheckedMask:
    """Decodes a mask and compares it with its image and the class list.

    Parameters
    ----------
    data : bytes
        A lossless image of class ids: gray values or palette indices.
    size : tuple of int
        Width and height of the image as displayed.
    classes : collection of int
        Known class ids.

    Raises
    ------
    Unacceptable
        mask_unreadable, mask_size or unknown_class.
    """
    try:
        with open_image(data) as image:
            if image.format in _LOSSY:
                raise Unacceptable(
                    "mask_unreadable", f"{image.format} changes class ids: save masks as PNG"
                )
            # before decoding: a mask of the image's size has passed the image's limit
            found = image.size
            if sorted(found) == sorted(size):
                found = displayed_size(image)
    except Unacceptable:
        raise
    except Exception as error:
        raise Unacceptable("mask_unreadable", _said(error)) from error
    if found != size:
        raise Unacceptable(
            "mask_size",
            f"the mask is {found[0]}×{found[1]}, the image {size[0]}×{size[1]} as displayed",
        )
    try:
        ids = mask_ids(data, classes)
    except Unacceptable:
        raise
    except Exception as error:
        raise Unacceptable("mask_unreadable", _said(error)) from error
    present = np.flatnonzero(np.bincount(ids.ravel(), minlength=256))
    unknown = sorted(set(present.tolist()) - set(classes))
    if unknown:
        shown = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        hint = ""
        if unknown == [255]:
            hint = (
                ": pixels of no class? Name it in source.classes, as 255: void, and in "
                "taxonomy.ignored"
            )
        raise Unacceptable("unknown_class", f"class ids {shown}{hint}")
    return CheckedMask(_png(ids), ids)


def mask_ids(data: bytes, classes: Collection[int]) -> np.ndarray:
    """Class ids of a mask, uint8 array (height, width): gray values, or what a palette means.

    Raises
    ------
    Unacceptable
        mask_unreadable, if a palette may mean two things; other errors are Pillow's.
    """
    ids = decode_mask(data)
    with open_image(data) as image:
        return palette_ids(image, ids, classes) if image.mode == "P" else ids


def _png(ids: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, "PNG")
    return buffer.getvalue()


def _unopened(data: bytes, error: Exception) -> Unacceptable:
    for magic, (form, offset) in _DECLARED_SIZE.items():
        if data.startswith(magic) and len(data) >= offset + struct.calcsize(form):
            width, height = struct.unpack_from(form, data, offset)
            if width == 0 or height == 0:
                return Unacceptable("empty_image", f"{width}×{height} pixels")
    known = not isinstance(error, UnidentifiedImageError)
    return Unacceptable("truncated" if known else "not_an_image", _said(error))


def _said(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no known image format"
    return str(error) or type(error).__name__
