"""The group of every stored image, streamed: label and attributes, given by the input or
discovered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from data_contracts.common import INPUT_PREFIX
from data_contracts.images import IMAGES
from heml.images.groups import MISSING
from heml.images.images_table import image_index, iterate_images
from heml.storage.sharded_parquet import ShardedTable
from heml.storage.store import Store

#: Label value, then attribute values in the recipe's order.
Group = tuple[str, ...]
_BATCH = 4096


class GroupReader:
    """Groups of a store's images.

    Parameters
    ----------
    store : Store
    attributes : sequence of str
        Columns of the input, or discovered attributes.
    """

    def __init__(self, store: Store, attributes: Sequence[str]) -> None:
        self._store = store
        self._attributes = list(attributes)
        #: The input's columns, by their own names.
        self.inputs = [
            name.removeprefix(INPUT_PREFIX)
            for name in ShardedTable(store.images, IMAGES).names
            if name.startswith(INPUT_PREFIX)
        ]
        #: Attributes that no column of the input gives.
        self.discovered = [attribute for attribute in attributes if attribute not in self.inputs]
        self._found: dict[str, dict[str, str]] = {}
        if self.discovered:
            index = image_index(store, self.discovered)
            self._found = {
                attribute: dict(zip(index["image_id"], index[attribute], strict=True))
                for attribute in self.discovered
            }
        given = [INPUT_PREFIX + attribute for attribute in attributes if attribute in self.inputs]
        #: Columns of the images that a group needs.
        self.columns = ["image_id", "split", "label", *given]

    def group(self, row: dict[str, Any]) -> Group:
        """The group of a row with `columns`; `MISSING` where an attribute value is not known."""
        values = (
            self._found[attribute].get(row["image_id"])
            if attribute in self._found
            else row[INPUT_PREFIX + attribute]
            for attribute in self._attributes
        )
        return (row["label"], *(MISSING if value is None else str(value) for value in values))

    def rows(self) -> Iterator[tuple[str, str, Group]]:
        """Image id, split and group of all images in stored order."""
        for batch in iterate_images(self._store, self.columns, _BATCH):
            for row in batch.to_pylist():
                yield row["image_id"], row["split"], self.group(row)
