"""Parquet files of all splits at once, cut by size. Knows no columns but the image.

Files and their folder have their final names only when every row of every split is written: before
that there is no folder that a reader could take for a dataset.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts import Contract

#: A row group ends at this many rows, or at this many bytes: far below 100 MB, and small enough
#: that one row is read without reading much else.
ROWS_PER_GROUP, BYTES_PER_GROUP = 100, 32 << 20


class SplitShards:
    """Writes `<split>-00000-of-0000N.parquet` into a folder that it makes.

    Parameters
    ----------
    folder : pathlib.Path
        Must not exist; beside it, under a hidden name, the files grow.
    contract : Contract
        What the rows must keep.
    schema : pyarrow.Schema
        What the files carry: the contract's columns, with more metadata.
    shard_bytes : int
        A file ends when its images have this size.
    """

    def __init__(
        self, folder: Path, contract: Contract, schema: pa.Schema, shard_bytes: int
    ) -> None:
        self._target, self._folder = folder, folder.with_name(f".{folder.name}")
        self._folder.mkdir(parents=True)
        self._contract = contract
        self._schema = schema
        self._limit = shard_bytes
        self._splits: dict[str, _Shards] = {}

    def __enter__(self) -> SplitShards:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for shards in self._splits.values():
            shards.close(whole=kind is None)
        if kind is None:
            for shards in self._splits.values():
                shards.give_names()
            self._folder.rename(self._target)

    def write(self, split: str, row: dict[str, Any]) -> None:
        """Adds a row to a split."""
        if split not in self._splits:
            self._splits[split] = _Shards(
                self._folder, split, self._contract, self._schema, self._limit
            )
        self._splits[split].write(row)


class _Shards:
    """The files of one split."""

    def __init__(
        self, folder: Path, split: str, contract: Contract, schema: pa.Schema, limit: int
    ) -> None:
        self._folder = folder
        self._split = split
        self._contract = contract
        self._schema = schema
        self._limit = limit
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._group_bytes = 0
        self._shard_bytes = 0

    def write(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self._group_bytes += len(row["image"]["bytes"])
        if len(self._rows) >= ROWS_PER_GROUP or self._group_bytes >= BYTES_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        writer = self._writer or self._open()
        columns = self._contract.table(self._rows).columns
        writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._shard_bytes += self._group_bytes
        self._rows, self._group_bytes = [], 0
        if self._shard_bytes >= self._limit:
            self._finish_file()

    def _open(self) -> pq.ParquetWriter:
        self._parts.append(self._folder / f"{self._split}-{len(self._parts):05d}.part")
        scalars = [f.name for f in self._schema if not pa.types.is_nested(f.type)]
        self._writer = pq.ParquetWriter(
            self._parts[-1],
            self._schema,
            compression="zstd",
            # pictures do not repeat, and text that does is small after zstd
            use_dictionary=False,
            write_statistics=scalars,
        )
        return self._writer

    def _finish_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._shard_bytes = None, 0

    def close(self, whole: bool) -> None:
        if whole and self._rows:
            self._flush()
        self._finish_file()

    def give_names(self) -> None:
        for number, part in enumerate(self._parts):
            part.rename(
                self._folder / f"{self._split}-{number:05d}-of-{len(self._parts):05d}.parquet"
            )
