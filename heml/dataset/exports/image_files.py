"""What formats of single image files share: names, and cells of a table of text."""

from __future__ import annotations

import json
from typing import Any

from heml.images.images_table import open_image

_SUFFIXES = {"JPEG": "jpg", "JPEG2000": "jp2", "TIFF": "tif"}


def suffix_of(data: bytes) -> str:
    """File name suffix of an encoded image, from its content: names can be wrong."""
    with open_image(data) as image:
        kind = str(image.format)
    return _SUFFIXES.get(kind, kind.lower())


def file_name(number: int, data: bytes) -> str:
    """Name of the n-th image of a split. Ids are no file names: they may hold anything."""
    return f"{number:08d}.{suffix_of(data)}"


def text_of(value: Any) -> Any:
    """A value for a table of text: lists as JSON, nothing where there is nothing."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
