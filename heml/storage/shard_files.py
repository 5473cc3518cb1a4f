"""Numbered Parquet files of one table, cut by size: the one place that writes them.

Row groups are small, so that single rows can be read without reading a file. Knows contracts, but
no particular table, and no folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract


class Limit(NamedTuple):
    """Where a row group or a file ends: at as many writes, or at as many bytes."""

    units: int = sys.maxsize
    bytes: int = sys.maxsize

    def reached_by(self, units: int, size: int) -> bool:
        return units >= self.units or size >= self.bytes


class ShardFiles:
    """Writes rows into one file after the other. The same rows give the same bytes.

    Parameters
    ----------
    path_of : callable
        File number → path.
    contract : Contract
        What the rows must keep.
    group, file : Limit
        Of a row group, and of a file. The rows of one call of `write` stay together.
    schema : pyarrow.Schema, optional
        What the files hold: the contract's columns, possibly with more metadata.
    statistics : bool or list of str, default False
        Columns that get statistics.
    """

    def __init__(
        self,
        path_of: Callable[[int], Path],
        contract: Contract,
        group: Limit,
        file: Limit,
        schema: pa.Schema | None = None,
        statistics: bool | list[str] = False,
    ) -> None:
        self._path_of = path_of
        self._contract = contract
        self._schema = contract.schema() if schema is None else schema
        self._statistics = statistics
        self._group_limit, self._file_limit = group, file
        self._rows: list[dict[str, object]] = []
        self._group_units = self._group_bytes = 0
        self._file_units = self._file_bytes = 0
        self._file: pq.ParquetWriter | None = None
        #: Files so far, in order.
        self.paths: list[Path] = []

    def write(self, rows: Sequence[dict[str, object]], size: int) -> None:
        """Adds rows that belong together.

        Parameters
        ----------
        rows : sequence of dict
            With the contract's columns.
        size : int
            About how many bytes they hold.
        """
        self._rows.extend(rows)
        self._group_units += 1
        self._group_bytes += size
        if self._group_limit.reached_by(self._group_units, self._group_bytes):
            self.flush()

    def flush(self) -> None:
        """Ends the row group."""
        if self._rows:
            file = self._file or self.open_file()
            columns = self._contract.table(self._rows).columns
            table = pa.Table.from_arrays(columns, schema=self._schema)
            file.write_table(table, row_group_size=len(self._rows))
        self._file_units += self._group_units
        self._file_bytes += self._group_bytes
        self._rows, self._group_units, self._group_bytes = [], 0, 0
        if self._file_limit.reached_by(self._file_units, self._file_bytes):
            self.close_file()

    def open_file(self) -> pq.ParquetWriter:
        """Begins the next file."""
        self.paths.append(self._path_of(len(self.paths)))
        self._file = pq.ParquetWriter(
            self.paths[-1],
            self._schema,
            compression="zstd",
            # images do not repeat, and text that does is small after zstd
            use_dictionary=False,
            write_statistics=self._statistics,
        )
        return self._file

    def close_file(self) -> None:
        """Ends the file; rows that are in no row group yet are not in it."""
        if self._file is not None:
            self._file.close()
        self._file, self._file_units, self._file_bytes = None, 0, 0
