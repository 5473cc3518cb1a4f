"""Rows of a written dataset, streamed: what exports, checks and the Python interface read.

Knows a dataset folder, not the store that it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts import REBALANCED_DATASET
from data_contracts.common import SPLITS
from heml.dataset_folder.features import class_names, named


def split_files(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split, in order; none if the dataset has no such split."""
    return sorted((folder / "data").glob(f"{split}-*.parquet"))


def splits_of(folder: Path) -> list[str]:
    """The splits that a dataset has."""
    return [split for split in SPLITS if split_files(folder, split)]


def schema_of(folder: Path) -> pa.Schema:
    """The schema of all files of a dataset.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ContractError
        If it is another table, or one of another major version.
    """
    splits = splits_of(folder)
    if not splits:
        raise FileNotFoundError(f"no dataset in {folder}")
    schema = pq.read_schema(split_files(folder, splits[0])[0])
    REBALANCED_DATASET.check_version(schema)
    return schema


def read_split(
    folder: Path, split: str, columns: Sequence[str], batch_size: int = 64
) -> Iterator[pa.RecordBatch]:
    """Batches of one split in stored order; label and attributes by name, not by class number.

    Parameters
    ----------
    folder : pathlib.Path
        Of the dataset.
    split : str
    columns : sequence of str
    batch_size : int, default 64

    Raises
    ------
    FileNotFoundError
        If the dataset has no such split.
    """
    files = split_files(folder, split)
    if not files:
        raise FileNotFoundError(f"no split '{split}' in {folder}")
    classes = class_names(pq.read_schema(files[0]))
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size, columns=list(columns)):
                yield named(batch.select(list(columns)), classes)


def read_rows(
    folder: Path, split: str, columns: Sequence[str], batch_size: int = 64
) -> Iterator[dict[str, Any]]:
    """Rows of one split, one at a time."""
    for batch in read_split(folder, split, columns, batch_size):
        yield from batch.to_pylist()
