"""Large tables as numbered Parquet files: writing them row by row, reading parts of them.

Row groups are small, so that single rows can be read without reading a file. Knows contracts, but
no particular table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from heml.storage.shard_files import Limit, ShardFiles


class RowGroup(NamedTuple):
    """Where a few rows are stored: file number and row group in it."""

    file: int
    group: int


class ShardWriter:
    """Writes `part-00000.parquet`, `part-00001.parquet`, ... into a folder, which it makes if it
    must.

    The same rows give the same bytes. At least one file is written, so that a table without rows
    still has its schema.

    Parameters
    ----------
    folder : pathlib.Path
    contract : Contract
    units_per_group : int, default 64
        Calls of `write` per row group: their rows stay together.
    bytes_per_group : int, default 16 MiB
        A row group ends earlier at this size.
    units_per_file : int, default 2048
    bytes_per_file : int, default 256 MiB
    """

    def __init__(
        self,
        folder: Path,
        contract: Contract,
        units_per_group: int = 64,
        bytes_per_group: int = 16 << 20,
        units_per_file: int = 2048,
        bytes_per_file: int = 256 << 20,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = ShardFiles(
            lambda number: folder / f"part-{number:05d}.parquet",
            contract,
            Limit(units_per_group, bytes_per_group),
            Limit(units_per_file, bytes_per_file),
        )

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._files.flush()
            if not self._files.paths:
                self._files.open_file()
        self._files.close_file()

    def write(self, rows: Sequence[dict[str, object]], size: int) -> None:
        """Adds rows that belong together, of about so many bytes."""
        self._files.write(rows, size)


class ShardedTable:
    """A table that `ShardWriter` wrote.

    Raises
    ------
    FileNotFoundError
        If there is none in the folder.
    ContractError
        If it is another table, or one of another major version.
    """

    def __init__(self, folder: Path, contract: Contract) -> None:
        self._paths = sorted(folder.glob("part-*.parquet"))
        if not self._paths:
            raise FileNotFoundError(f"no table in {folder}: run the stage that writes it")
        self._footers = [pq.read_metadata(path) for path in self._paths]
        schemas = [footer.schema.to_arrow_schema() for footer in self._footers]
        for schema in schemas:
            contract.check_version(schema)
        self.names: list[str] = schemas[0].names

    def row_groups(self) -> Iterator[RowGroup]:
        """All row groups in stored order."""
        for file, footer in enumerate(self._footers):
            for group in range(footer.num_row_groups):
                yield RowGroup(file, group)

    def rows_in(self, group: RowGroup) -> int:
        """Rows of a row group."""
        return int(self._footers[group.file].row_group(group.group).num_rows)

    def read_row_group(self, group: RowGroup, columns: Sequence[str]) -> pa.Table:
        """Some columns of one row group."""
        # opened for each call: handles that stay open do not survive a fork
        with self._opened(group.file) as file:
            return file.read_row_group(group.group, columns=list(columns)).select(list(columns))

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some small columns of all rows."""
        tables = [self.read_row_group(group, columns) for group in self.row_groups()]
        if tables:
            return pa.concat_tables(tables)
        return self._footers[0].schema.to_arrow_schema().empty_table().select(list(columns))

    def batches(self, columns: Sequence[str], batch_size: int) -> Iterator[pa.RecordBatch]:
        """All rows in stored order, at most `batch_size` at a time."""
        for number in range(len(self._paths)):
            with self._opened(number) as file:
                for batch in file.iter_batches(batch_size, columns=list(columns)):
                    yield batch.select(list(columns))

    def _opened(self, number: int) -> pq.ParquetFile:
        return pq.ParquetFile(self._paths[number], metadata=self._footers[number])
