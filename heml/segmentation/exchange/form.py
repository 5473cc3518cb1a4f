"""What the form of an annotation tool is: segments out, corrected segments in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from heml.parts.registry import Registry


class FormError(ValueError):
    """A file of annotations cannot be read; the message says where and what to write instead."""


class Annotated(NamedTuple):
    """An image with its segments, as a tool has it.

    Parameters
    ----------
    file_name : str
        Of the image; a tool may put folders or a URL before it.
    size : (int, int)
        Height and width.
    masks : list of (str, ndarray of bool, shape (height, width))
        Names and masks in the order of the file; a name may be there several times.
    """

    file_name: str
    size: tuple[int, int]
    masks: list[tuple[str, np.ndarray]]


class Form(Protocol):
    """The form of a tool.

    Attributes
    ----------
    name : str
    rank : int
    description : str
        One line: which tool, what to import there.
    """

    @property
    def name(self) -> str: ...

    @property
    def rank(self) -> int: ...

    @property
    def description(self) -> str: ...

    def write(self, images: Iterable[Annotated], names: Sequence[str], folder: Path) -> Path:
        """Writes annotations into a folder whose `images` holds the pictures; gives the file."""

    def recognizes(self, head: str) -> bool:
        """Whether a file that begins so is of this form."""

    def read(self, path: Path) -> Iterator[Annotated]:
        """Images that the file speaks of.

        Raises
        ------
        FormError
        """


FORMS: Registry[Form] = Registry(
    "annotation form", "heml.segmentation.exchange.formats", "heml.annotation_forms"
)
"""Forms of annotation tools: one module each, registered under the module's name."""


def form_of(path: Path, wanted: str | None = None) -> Form:
    """The form of a file.

    Parameters
    ----------
    path : pathlib.Path
    wanted : str, optional
        Name of the form; found by the file's beginning otherwise.

    Raises
    ------
    FormError
        If there is no such file, or it is of no known form.
    """
    if not path.is_file():
        raise FormError(f"there is no file {path}")
    if wanted is not None:
        return FORMS[wanted]
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        head = file.read(4096)
    for form in FORMS:
        if form.recognizes(head):
            return form
    known = ", ".join(form.name for form in FORMS)
    raise FormError(f"{path} is of no known form ({known}); name it with --format")


def polygon_mask(points: Sequence[tuple[float, float]], size: tuple[int, int]) -> np.ndarray:
    """Pixels within a polygon.

    Parameters
    ----------
    points : sequence of (float, float)
        Left and top in pixels, at least three.
    size : (int, int)
        Height and width.

    Returns
    -------
    ndarray of bool, shape (height, width)
    """
    from pycocotools import mask as coco

    if len(points) < 3:
        raise FormError(f"a polygon has {len(points)} points; it needs at least three")
    flat = [number for point in points for number in point]
    found = coco.decode(coco.frPyObjects([flat], *size))
    return np.asarray(found.any(2), bool)
