"""Segments that people corrected: a table beside the recipe, used in place of the found ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from heml.segmentation.exchange.form import Annotated, FormError
from heml.segmentation.iou import IGNORED
from heml.segmentation.masks import decode, encode
from heml.segmentation.segment_rows import segment_rows
from heml.storage.atomic_write import write_aside
from heml.taxonomy import BACKGROUND, nearest

_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("class_name", pa.string()),  # null: the image has no segment
        ("rle", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("form", pa.string()),
    ]
)

Rows = list[dict[str, Any]]


class Corrections:
    """Corrected images of a file.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    FormError
        If there is no such file, or it is no table of corrections.
    """

    def __init__(self, path: Path) -> None:
        self._rows: dict[str, Rows] = {}
        if not path.is_file():
            raise FormError(
                f"segmentation.corrections: there is no file {path}; heml segments correct writes "
                "it"
            )
        try:
            table = pq.read_table(path, schema=_SCHEMA)
        except (pa.ArrowException, OSError) as error:
            raise FormError(
                f"segmentation.corrections: {path} is no table of corrections ({error})"
            ) from error
        for row in table.to_pylist():
            self._rows.setdefault(row["image_id"], []).append(row)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def raw(self) -> Rows:
        """All rows of the file."""
        return [row for rows in self._rows.values() for row in rows]

    def digest(self, image_id: str) -> bytes:
        """Of an image's correction: it is segmented anew where that changed."""
        return hashlib.sha256(repr(self._rows[image_id]).encode()).digest()

    def digest_of_all(self) -> str:
        """Of all corrections."""
        whole = hashlib.sha256()
        for image_id in sorted(self._rows):
            whole.update(image_id.encode() + self.digest(image_id))
        return whole.hexdigest()

    def rows(self, image_id: str, names: Sequence[str]) -> Rows:
        """An image's rows of the `segments` contract.

        Raises
        ------
        FormError
            If a name is none of those that segments can have.
        """
        given = self._rows[image_id]
        ids = np.full((given[0]["height"], given[0]["width"]), IGNORED, np.uint8)
        number = {name: i for i, name in enumerate(names)}
        for row in given:
            if row["class_name"] is None:
                continue
            if row["class_name"] not in number:
                raise FormError(
                    f"segmentation.corrections: image '{image_id}' has the segment "
                    f"'{row['class_name']}'; {nearest(row['class_name'], names)}"
                )
            ids[decode(row["rle"], row["height"], row["width"])] = number[row["class_name"]]
        made_by = f"corrected:{given[0]['form']}"
        return segment_rows(image_id, ids, dict(enumerate(names)), segmenter=made_by)


def write_corrections(
    path: Path,
    images: Iterable[Annotated],
    id_of: Mapping[str, str],
    sizes: Mapping[str, tuple[int, int]],
    names: Sequence[str],
    form: str,
) -> tuple[int, list[str]]:
    """Adds corrected images to a file; those that were in it get their new segments.

    Of two masks on one pixel the smaller is seen. Pixels without any are the background's, if
    segments can have that name.

    Parameters
    ----------
    path : pathlib.Path
    images : iterable of Annotated
    id_of : mapping of str to str
        File name without folders and ending → image id.
    sizes : mapping of str to (int, int)
        Image id → height and width.
    names : sequence of str
        Names that segments can have.
    form : str
        Where they come from.

    Returns
    -------
    int
        Images that were corrected.
    list of str
        Images that could not be, and why.

    Raises
    ------
    FormError
        If the annotations, or what is in the file already, cannot be read.
    """
    rows: dict[str, Rows] = {}
    for row in Corrections(path).raw() if path.is_file() else ():
        rows.setdefault(row["image_id"], []).append(row)
    done, refused = 0, []
    for image in images:
        image_id = id_of.get(file_stem(image.file_name))
        problem = _problem(image, image_id, sizes, names)
        if problem is not None or image_id is None:
            refused.append(f"{image.file_name}: {problem}")
            continue
        rows[image_id] = _corrected(image, image_id, sizes[image_id], names, form)
        done += 1
    table = pa.Table.from_pylist([row for of in rows.values() for row in of], _SCHEMA)
    with write_aside(path) as aside:
        pq.write_table(table, aside, compression="zstd")
    return done, refused


def file_stem(file_name: str) -> str:
    """A file's name without folders, URL and ending, and without what tools put before it."""
    last = file_name.replace("\\", "/").rsplit("/", 1)[-1].rsplit("=", 1)[-1]
    return re.sub(r"\.(jpe?g|png|webp|bmp|tiff?)$", "", last, flags=re.IGNORECASE)


def _problem(
    image: Annotated,
    image_id: str | None,
    sizes: Mapping[str, tuple[int, int]],
    names: Sequence[str],
) -> str | None:
    if image_id is None:
        return "no image of the store has this name"
    if image.masks and image.size != sizes[image_id]:
        height, width = sizes[image_id]
        return f"it is {image.size[1]}×{image.size[0]}, the image {width}×{height}"
    for name, _ in image.masks:
        if name not in names:
            return f"unknown segment '{name}'; {nearest(name, names)}"
    return None


def _corrected(
    image: Annotated, image_id: str, size: tuple[int, int], names: Sequence[str], form: str
) -> Rows:
    known = list(names)
    rest = known.index(BACKGROUND) if BACKGROUND in known else IGNORED
    ids = np.full(size, rest, np.uint8)
    for name, mask in sorted(image.masks, key=lambda pair: -int(pair[1].sum())):
        ids[mask] = known.index(name)
    shape = {"image_id": image_id, "height": size[0], "width": size[1], "form": form}
    present = [i for i in np.unique(ids).tolist() if i != IGNORED]
    if not present:
        return [{**shape, "class_name": None, "rle": None}]
    return [{**shape, "class_name": known[i], "rle": encode(ids == i)} for i in present]
