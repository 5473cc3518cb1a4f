"""Segmenting one row group of images, from masks or with a predictor: the work of one worker."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data_contracts.images import IMAGES
from heml.images.images_table import decode_image, decode_mask
from heml.segmentation.cache import EarlierSegments, Rows, image_key
from heml.segmentation.prediction import Predictor
from heml.segmentation.segment_rows import segment_rows
from heml.storage.sharded_parquet import RowGroup, ShardedTable
from heml.storage.store import Store

if TYPE_CHECKING:
    from heml.segmentation.corrections import Corrections


@dataclass(frozen=True)
class Image:
    """One image of a shard.

    Parameters
    ----------
    image_id : str
    key : bytes
        What its segments are made from.
    known : bool
        Whether an earlier pass made them.
    """

    image_id: str
    key: bytes
    known: bool


@dataclass(frozen=True)
class Shard:
    """A row group of the images table."""

    group: RowGroup
    images: list[Image]


#: The shard, and of each of its images the rows, None where they are known.
Found = tuple[Shard, list[Rows | None]]


def shards(
    store: Store, earlier: EarlierSegments, corrections: Corrections | None = None
) -> Iterator[Shard]:
    """All images of a store, a row group at a time, in stored order; corrected ones are known."""
    table = ShardedTable(store.images, IMAGES)
    for group in table.row_groups():
        rows = table.read_row_group(group, ["image_id", "sha256", "mask"]).to_pylist()
        images = []
        for row in rows:
            image_id, key = row["image_id"], image_key(row["sha256"], row["mask"])
            known = earlier.has(image_id, key)
            if corrections is not None and image_id in corrections:
                digest = hashlib.sha256(key + corrections.digest(image_id)).digest()
                key, known = digest, True
            images.append(Image(image_id, key, known))
        yield Shard(group, images)


class _Reader:
    """What both kinds of work share: the rows of the images that are new."""

    def __init__(self, store: Store) -> None:
        self._table = ShardedTable(store.images, IMAGES)

    def _new(self, shard: Shard, columns: list[str]) -> list[dict[str, Any]]:
        places = [place for place, image in enumerate(shard.images) if not image.known]
        if not places:
            return []
        table = self._table.read_row_group(shard.group, ["image_id", *columns])
        return list(table.take(places).to_pylist())

    @staticmethod
    def _found(shard: Shard, new: Mapping[str, Rows]) -> Found:
        return shard, [new.get(image.image_id) for image in shard.images]


class FromMasks(_Reader):
    """Segments from annotated masks.

    Parameters
    ----------
    store : Store
    classes : dict of int to str
        Class ids that become segments.
    """

    def __init__(self, store: Store, classes: dict[int, str]) -> None:
        super().__init__(store)
        self._classes = classes

    def __call__(self, shard: Shard) -> Found:
        new = {}
        for row in self._new(shard, ["mask"]):
            if row["mask"] is None:
                raise ValueError(
                    f"image '{row['image_id']}' has no mask; remove the store's images and run "
                    "again"
                )
            ids = decode_mask(row["mask"])
            new[row["image_id"]] = segment_rows(row["image_id"], ids, self._classes)
        return self._found(shard, new)


class FromPredictor(_Reader):
    """Segments that a predictor finds.

    Parameters
    ----------
    store : Store
    load : callable
        Gives the predictor; called in every process that needs it.
    leaves : list of str
    leaf_of_class : dict of int to str
        For images that keep their mask.
    keep_masks : bool
        Whether images with a mask keep it.
    batch_size : int
    """

    def __init__(
        self,
        store: Store,
        load: Callable[[], Predictor],
        leaves: list[str],
        leaf_of_class: Mapping[int, str],
        keep_masks: bool,
        batch_size: int,
    ) -> None:
        super().__init__(store)
        self._predictor = load()
        self._leaves = dict(enumerate(leaves))
        number = {leaf: i for i, leaf in self._leaves.items()}
        self._lut = np.full(256, 255, np.uint8)
        for i, leaf in leaf_of_class.items():
            self._lut[i] = number[leaf]
        self._keep_masks, self._batch_size = keep_masks, batch_size
        # An accelerator works on one batch at a time; images are decoded meanwhile.
        self._turn = threading.Lock() if self._predictor.accelerated else nullcontext()

    def __call__(self, shard: Shard) -> Found:
        rows, new, unknown = self._new(shard, ["image", "mask"]), dict[str, Rows](), []
        for row in rows:
            if row["mask"] is not None and self._keep_masks:
                ids = self._lut[decode_mask(row["mask"])]
                new[row["image_id"]] = segment_rows(row["image_id"], ids, self._leaves)
            else:
                unknown.append(row)
        for start in range(0, len(unknown), self._batch_size):
            batch = unknown[start : start + self._batch_size]
            pixels = [decode_image(row["image"]["bytes"]) for row in batch]
            with self._turn:
                predicted = self._predictor.predict(pixels)
            for row, found in zip(batch, predicted, strict=True):
                new[row["image_id"]] = segment_rows(
                    row["image_id"],
                    found.ids,
                    self._leaves,
                    found.confidence,
                    self._predictor.name,
                    self._predictor.licence,
                )
        return self._found(shard, new)
