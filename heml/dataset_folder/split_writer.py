"""Parquet files of all splits at once, cut by size. Knows no columns but the image.

Files and their folder have their final names only when every row of every split is written: before
that there is no folder that a reader could take for a dataset.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from data_contracts import Contract
from heml.storage.shard_files import Limit, ShardFiles

#: A row group ends at this many rows, or at this many bytes: far below 100 MB, and small enough
#: that one row is read without reading much else.
ROW_GROUP = Limit(100, 32 << 20)


class SplitShards:
    """Writes `<split>-00000-of-0000N.parquet` into a folder that it makes.

    Parameters
    ----------
    folder : pathlib.Path
        Must not exist; beside it, under a hidden name, the files grow.
    contract : Contract
        What the rows must keep.
    schema : pyarrow.Schema
        What the files hold: the contract's columns, with more metadata.
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
        self._limit = Limit(bytes=shard_bytes)
        self._scalars = [f.name for f in schema if not pa.types.is_nested(f.type)]
        self._splits: dict[str, ShardFiles] = {}

    def __enter__(self) -> SplitShards:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for files in self._splits.values():
            if kind is None:
                files.flush()
            files.close_file()
        if kind is None:
            for split, files in self._splits.items():
                for number, part in enumerate(files.paths):
                    name = f"{split}-{number:05d}-of-{len(files.paths):05d}.parquet"
                    part.rename(self._folder / name)
            self._folder.rename(self._target)

    def write(self, split: str, row: dict[str, Any]) -> None:
        """Adds a row to a split."""
        if split not in self._splits:
            self._splits[split] = self._files_of(split)
        self._splits[split].write([row], len(row["image"]["bytes"]))

    def _files_of(self, split: str) -> ShardFiles:
        return ShardFiles(
            lambda number: self._folder / f"{split}-{number:05d}.part",
            self._contract,
            ROW_GROUP,
            self._limit,
            self._schema,
            self._scalars,
        )
