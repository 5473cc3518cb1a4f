"""The cell of every stored image, streamed: label and groups, given by the input or discovered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from data_contracts.common import INPUT_PREFIX
from data_contracts.images import IMAGES
from heml.images.groups import MISSING
from heml.images.images_table import image_index, iterate_images
from heml.storage.sharded_parquet import ShardedTable
from heml.storage.store import Store

#: Label value, then group values in the recipe's order.
Cell = tuple[str, ...]
_BATCH = 4096


class CellReader:
    """Cells of a store's images.

    Parameters
    ----------
    store : Store
    groups : sequence of str
        Columns of the input, or discovered groups.
    """

    def __init__(self, store: Store, groups: Sequence[str]) -> None:
        self._store = store
        self._groups = list(groups)
        #: The input's columns, by their own names.
        self.inputs = [
            name.removeprefix(INPUT_PREFIX)
            for name in ShardedTable(store.images, IMAGES).names
            if name.startswith(INPUT_PREFIX)
        ]
        #: Groups that no column of the input gives.
        self.discovered = [group for group in groups if group not in self.inputs]
        self._found: dict[str, dict[str, str]] = {}
        if self.discovered:
            index = image_index(store, self.discovered)
            self._found = {
                group: dict(zip(index["image_id"], index[group], strict=True))
                for group in self.discovered
            }
        given = [INPUT_PREFIX + group for group in groups if group in self.inputs]
        #: Columns of the images that a cell needs.
        self.columns = ["image_id", "split", "label", *given]

    def cell(self, row: dict[str, Any]) -> Cell:
        """The cell of a row with `columns`; `MISSING` where a group value is not known."""
        values = (
            self._found[group].get(row["image_id"])
            if group in self._found
            else row[INPUT_PREFIX + group]
            for group in self._groups
        )
        return (row["label"], *(MISSING if value is None else str(value) for value in values))

    def rows(self) -> Iterator[tuple[str, str, Cell]]:
        """Image id, split and cell of all images in stored order."""
        for batch in iterate_images(self._store, self.columns, _BATCH):
            for row in batch.to_pylist():
                yield row["image_id"], row["split"], self.cell(row)
