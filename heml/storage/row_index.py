"""Where each image's rows are stored in a sharded table, in a few dozen bytes an image."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from heml.storage.sharded_parquet import RowGroup, ShardedTable


class Rows(NamedTuple):
    """Consecutive rows of one row group, `stop` exclusive."""

    group: RowGroup
    start: int
    stop: int


class RowIndex:
    """Rows by image id. An image's rows stand together, in one row group.

    Parameters
    ----------
    shards : ShardedTable
        With a column `image_id`.
    """

    def __init__(self, shards: ShardedTable) -> None:
        self._groups = list(shards.row_groups())
        ids, places = [pa.array([], pa.string())], [np.zeros((0, 3), np.int32)]
        for number, group in enumerate(self._groups):
            column = shards.read_row_group(group, ["image_id"])["image_id"].combine_chunks()
            runs = pc.run_end_encode(column)
            stops = runs.run_ends.to_numpy()
            starts = np.concatenate([[0], stops[:-1]])
            ids.append(runs.values)
            places.append(np.column_stack([np.full(len(stops), number), starts, stops]))
        # Sorted strings of Arrow: a dict of Python's takes ten times as much.
        unsorted = pa.concat_arrays(ids)
        order = pc.sort_indices(unsorted)
        self._ids = unsorted.take(order)
        self._places = np.concatenate(places).astype(np.int32)[order.to_numpy()]

    def __len__(self) -> int:
        return len(self._ids)

    def find(self, image_id: str) -> Rows | None:
        """The image's rows; None if it has none."""
        # UTF-8 sorts as code points do.
        place = bisect_left(self._ids, image_id, key=lambda scalar: scalar.as_py())
        if place == len(self._ids) or self._ids[place].as_py() != image_id:
            return None
        group, start, stop = self._places[place].tolist()
        return Rows(self._groups[group], start, stop)
