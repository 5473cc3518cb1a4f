"""CVAT for images 1.1: one XML file, masks as run lengths within a box, or polygons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np

from heml.images.bounding_box import bounding_box
from heml.segmentation.exchange.form import FORMS, Annotated, FormError, polygon_mask


class Cvat:
    """Run lengths go along rows, beginning with those outside."""

    name: ClassVar[str] = "cvat"
    rank: ClassVar[int] = 2
    description: ClassVar[str] = "CVAT: upload annotations.xml as CVAT 1.1, export CVAT for images"

    def write(self, images: Iterable[Annotated], names: Sequence[str], folder: Path) -> Path:
        path = folder / "annotations.xml"
        with path.open("w", encoding="utf-8") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
            file.write("  <version>1.1</version>\n")
            for number, image in enumerate(images):
                height, width = image.size
                file.write(
                    f'  <image id="{number}" name={quoteattr(image.file_name)} width="{width}" '
                    f'height="{height}">\n'
                )
                file.writelines(_element(name, mask) for name, mask in image.masks)
                file.write("  </image>\n")
            file.write("</annotations>\n")
        return path

    def recognizes(self, head: str) -> bool:
        return "<annotations" in head

    def read(self, path: Path) -> Iterator[Annotated]:
        text = path.read_text(encoding="utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise FormError(f"{path}: declares entities, which CVAT never writes; remove them")
        try:
            root = ElementTree.fromstring(text)  # noqa: S314 - without entities
        except ElementTree.ParseError as error:
            raise FormError(f"{path} is not XML ({error})") from error
        for element in root.iter("image"):
            try:
                yield _annotated(element)
            except (KeyError, TypeError, ValueError) as error:
                name = element.get("name", "without a name")
                raise FormError(f"{path}: image {name}: {error}") from error


def _element(name: str, mask: np.ndarray) -> str:
    box = bounding_box(mask)
    assert box is not None
    left, top, right, bottom = box
    inside = mask[top:bottom, left:right].ravel()
    changes = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], changes, [len(inside)]])).tolist()
    runs = lengths if not inside[0] else [0, *lengths]
    return (
        f'    <mask label={quoteattr(name)} source="heml" occluded="0" '
        f'rle="{", ".join(map(str, runs))}" left="{left}" top="{top}" width="{right - left}" '
        f'height="{bottom - top}" z_order="0"/>\n'
    )


def _annotated(element: ElementTree.Element) -> Annotated:
    size = int(element.attrib["height"]), int(element.attrib["width"])
    masks = []
    for part in sorted(element, key=lambda e: int(e.get("z_order") or 0)):
        if part.tag == "mask":
            masks.append((part.attrib["label"], _mask(part, size)))
        elif part.tag == "polygon":
            pairs = [pair.split(",") for pair in part.attrib["points"].split(";")]
            points = [(float(x), float(y)) for x, y in pairs]
            masks.append((part.attrib["label"], polygon_mask(points, size)))
    return Annotated(element.attrib["name"], size, masks)


def _mask(part: ElementTree.Element, size: tuple[int, int]) -> np.ndarray:
    left, top, width, height = (int(part.attrib[k]) for k in ("left", "top", "width", "height"))
    runs = np.array([int(number) for number in part.attrib["rle"].split(",")])
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    if len(inside) != width * height or left + width > size[1] or top + height > size[0]:
        raise ValueError(f"a mask's run lengths do not fill its box {width}×{height}")
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = inside.reshape(height, width)
    return mask


FORMS.register(Cvat())
