"""Images inside the page: bytes as data URIs, with the size and words that a browser needs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Embedded:
    """An image as the template places it.

    Parameters
    ----------
    uri : str
        The image itself.
    alt : str
        What it shows, for readers who do not see it.
    width, height : int
        At which it is laid out, in CSS pixels.
    dark_uri : str, optional
        The image for dark pages, where it has one of its own.
    narrow : Embedded, optional
        The image for phones, where it has one of its own.
    """

    uri: str
    alt: str
    width: int
    height: int
    dark_uri: str | None = None
    narrow: Embedded | None = None


def embed(
    data: bytes,
    alt: str,
    density: float = 1.0,
    dark: bytes | None = None,
    narrow: Embedded | None = None,
) -> Embedded:
    """An encoded image for the page.

    Parameters
    ----------
    data : bytes
        PNG or WebP.
    alt : str
    density : float, default 1
        Pixels of the image per CSS pixel.
    dark : bytes, optional
        The same image for dark pages.
    narrow : Embedded, optional
        The same image for phones.
    """
    with Image.open(io.BytesIO(data), formats=("PNG", "WEBP")) as image:
        kind, (width, height) = str(image.format).lower(), image.size
    size = round(width / density), round(height / density)
    dark_uri = None if dark is None else _uri(kind, dark)
    return Embedded(_uri(kind, data), alt, *size, dark_uri, narrow)


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
