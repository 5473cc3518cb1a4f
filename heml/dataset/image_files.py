"""What formats of single image files share: file names, and a row's columns as plain values."""

from __future__ import annotations

import json
from typing import Any

from heml.images.images_table import open_image

#: Endings that readers know, where they differ from PIL's name of the format. A multi-picture
#: object (MPO) is a JPEG file with more images behind the first.
_SUFFIXES = {"JPEG": "jpg", "MPO": "jpg", "JPEG2000": "jp2", "TIFF": "tif"}
#: Columns with a place of their own in every format.
_APART = ("image", "masks")


def suffix_of(data: bytes) -> str:
    """File name suffix of an encoded image, from its content: names can be wrong."""
    with open_image(data) as image:
        kind = str(image.format)
    return _SUFFIXES.get(kind, kind.lower())


def file_name(number: int, data: bytes) -> str:
    """Name of the n-th image of a split. Ids are no file names: they may hold anything."""
    return f"{number:08d}.{suffix_of(data)}"


def columns_of(row: dict[str, Any]) -> dict[str, Any]:
    """A row without its image and masks, to be nested under one key of the format.

    Names of columns are the input's: beside the keys of a format they could replace them.
    """
    return {name: value for name, value in row.items() if name not in _APART}


def text_of(value: Any) -> Any:
    """A value for a table of text: lists as JSON, nothing where there is nothing."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
