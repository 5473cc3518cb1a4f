"""Checking a stored table against its contract, batch by batch. Knows no particular table.

Images, masks and lists are checked for presence and type only: their bytes are not read.
Memory does not grow with the table but for eight bytes per row and unique column.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts import Contract, ContractError

BATCH_ROWS = 4096


def parquet_files(path: Path) -> list[Path]:
    """A table's files: the file itself, or the shards of a folder in order.

    Raises
    ------
    ContractError
        If there are none.
    """
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise ContractError(f"no table at {path}: run the asset again")
    return files


def check_table(files: Sequence[Path], contract: Contract, extra_prefix: str | None = None) -> int:
    """Refuses a table that does not keep its contract.

    Parameters
    ----------
    extra_prefix : str, optional
        Columns beyond the contract's are allowed if they start so ("" for any); none otherwise.

    Returns
    -------
    int
        Rows of all files.

    Raises
    ------
    ContractError
    """
    seen = _Keys(contract)
    rows = 0
    for path in files:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            contract.check_version(schema)
            _check_columns(schema, contract, extra_prefix)
            flat = [c.name for c in contract.columns if not _is_opaque(c.type)]
            for batch in file.iter_batches(BATCH_ROWS, columns=flat):
                # Nulls in columns that may have none: pandas would read them as another type.
                _check_nulls(batch, contract)
                frame = batch.to_pandas()
                contract.validate(frame, flat)
                seen.add(frame)
                rows += len(frame)
    seen.check()
    return rows


def _check_columns(schema: pa.Schema, contract: Contract, extra_prefix: str | None) -> None:
    for column in contract.columns:
        if column.name not in schema.names:
            raise ContractError(f"table '{contract.name}': missing column '{column.name}'")
        found = schema.field(column.name).type
        if found != column.type:
            raise ContractError(
                f"table '{contract.name}': '{column.name}' is {found}, not {column.type}"
            )
    for name in set(schema.names) - set(contract.column_names):
        if extra_prefix is None or not name.startswith(extra_prefix):
            raise ContractError(f"table '{contract.name}': unknown column '{name}'")


def _check_nulls(batch: pa.RecordBatch, contract: Contract) -> None:
    for column in contract.columns:
        if column.name in batch.schema.names and not column.nullable:
            count = batch.column(column.name).null_count
            if count:
                raise ContractError(
                    f"table '{contract.name}': '{column.name}': {count} missing values"
                )


def _is_opaque(of: pa.DataType) -> bool:
    return bool(pa.types.is_nested(of) or pa.types.is_binary(of))


@dataclass
class _Keys:
    """Hashes of the values that must be unique over the whole table."""

    contract: Contract
    hashes: dict[tuple[str, ...], list[np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for column in self.contract.columns:
            if column.unique:
                self.hashes[(column.name,)] = []
        if self.contract.unique_together:
            self.hashes[self.contract.unique_together] = []

    def add(self, frame: pd.DataFrame) -> None:
        for names, parts in self.hashes.items():
            hashed = pd.util.hash_pandas_object(frame[list(names)], index=False)
            parts.append(hashed.to_numpy())

    def check(self) -> None:
        for names, parts in self.hashes.items():
            values = np.concatenate(parts) if parts else np.empty(0)
            if len(np.unique(values)) != len(values):
                raise ContractError(f"table '{self.contract.name}': {', '.join(names)}: not unique")
