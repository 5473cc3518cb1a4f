"""Masks as COCO run-length encoding, and reading the stored ones back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import count, groupby
from typing import Any

import numpy as np
from pycocotools import mask as coco

from data_contracts.images import IMAGES
from data_contracts.segments import SEGMENTS
from heml.images.images_table import iterate_images
from heml.storage.row_index import RowIndex
from heml.storage.sharded_parquet import RowGroup, ShardedTable
from heml.storage.store import Store

_COLUMNS = ["image_id", "class_name", "rle", "height", "width"]
#: Row groups of segments that `RowsByImage` keeps.
_CACHED_GROUPS = 32


def encode(mask: np.ndarray) -> str:
    """A mask as COCO compressed RLE counts.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)

    Raises
    ------
    ValueError
        If it is no such array.
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(
            f"a mask must be a boolean array (height, width), found {mask.dtype} {mask.shape}"
        )
    return str(coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode("ascii"))


def decode(rle: str, height: int, width: int) -> np.ndarray:
    """The mask of `encode`.

    Returns
    -------
    ndarray of bool, shape (height, width)
    """
    return np.asarray(coco.decode({"size": [height, width], "counts": rle.encode()}), bool)


def _decoded(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {r["class_name"]: decode(r["rle"], r["height"], r["width"]) for r in rows}


def _table(store: Store) -> ShardedTable:
    store.summary("segments")  # says that the stage has not run, if so
    return ShardedTable(store.segments, SEGMENTS)


def iterate_masks(
    store: Store, wanted: Sequence[bool] | np.ndarray | None = None
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Masks of every image in stored order, an image at a time.

    Parameters
    ----------
    store : Store
    wanted : sequence of bool, optional
        Images whose masks are decoded; the others come without. All by default.

    Yields
    ------
    image_id : str
    masks : dict of str to ndarray of bool, shape (height, width)
        By class name, present classes only; empty for an image of ignored classes alone.

    Raises
    ------
    FileNotFoundError
        If the images or segments stage has not run.
    """
    batches = _table(store).batches(_COLUMNS, batch_size=1024)
    rows = (row for batch in batches for row in batch.to_pylist())
    images = groupby(rows, key=lambda row: row["image_id"])
    segmented = next(images, None)
    places = count()
    for batch in iterate_images(store, ["image_id"], batch_size=1024):
        for image_id, place in zip(batch["image_id"].to_pylist(), places, strict=False):
            if segmented is not None and segmented[0] == image_id:
                chosen = wanted is None or wanted[place]
                masks = _decoded(list(segmented[1])) if chosen else {}
                segmented = next(images, None)
                yield image_id, masks
            else:
                yield image_id, {}
    if segmented is not None:
        raise ValueError(f"segments of '{segmented[0]}' fit no image: run the segments stage again")


class RowsByImage:
    """Rows of a stored `segments` table by image.

    Parameters
    ----------
    shards : ShardedTable
    columns : sequence of str
    """

    def __init__(self, shards: ShardedTable, columns: Sequence[str]) -> None:
        self._shards, self._columns = shards, columns
        self._index = RowIndex(shards)
        self._cache: OrderedDict[RowGroup, list[dict[str, Any]]] = OrderedDict()

    def rows(self, image_id: str) -> list[dict[str, Any]]:
        """The image's rows; none if it has no segment."""
        found = self._index.find(image_id)
        return [] if found is None else self._rows(found.group)[found.start : found.stop]

    def _rows(self, group: RowGroup) -> list[dict[str, Any]]:
        if group not in self._cache:
            self._cache[group] = self._shards.read_row_group(group, self._columns).to_pylist()
        self._cache.move_to_end(group)
        if len(self._cache) > _CACHED_GROUPS:
            self._cache.popitem(last=False)
        return self._cache[group]


class SegmentReader:
    """Masks of single images by id; only the row groups that hold them are read.

    Parameters
    ----------
    store : Store

    Raises
    ------
    FileNotFoundError
        If the images or segments stage has not run.
    """

    def __init__(self, store: Store) -> None:
        self._rows = RowsByImage(_table(store), _COLUMNS)
        self._images = ShardedTable(store.images, IMAGES)

    @cached_property
    def _known(self) -> RowIndex:
        # Only who asks for an image without segments needs it, and it reads the ids of all.
        return RowIndex(self._images)

    def masks(self, image_id: str) -> dict[str, np.ndarray]:
        """The image's masks by class name.

        Returns
        -------
        dict of str to ndarray of bool, shape (height, width)
            Present classes only.

        Raises
        ------
        KeyError
            If there is no such image.
        """
        rows = self._rows.rows(image_id)
        if not rows and self._known.find(image_id) is None:
            raise KeyError(f"no image '{image_id}' among {len(self._known)} stored ones")
        return _decoded(rows)
