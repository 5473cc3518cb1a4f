"""One Parquet file, read a few rows at a time, with the names of its class labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from heml.sources.files import Files
from heml.sources.raw import SourceError

#: Rows decoded together: with pictures of some megabytes still a few dozen megabytes.
_BATCH = 16


class ParquetFile:
    """A Parquet file below a root.

    Parameters
    ----------
    files : Files
    name : str

    Raises
    ------
    SourceError
        By its members, if the file cannot be read.
    """

    def __init__(self, files: Files, name: str) -> None:
        self._files = files
        self._name = name

    @cached_property
    def schema(self) -> pa.Schema:
        with self._opened() as file:
            return file.schema_arrow

    @property
    def columns(self) -> list[str]:
        """All columns."""
        return list(self.schema.names)

    @property
    def scalars(self) -> list[str]:
        """Columns of single values that can be told as text."""
        return [
            f.name for f in self.schema if not (pa.types.is_nested(f.type) or is_binary(f.type))
        ]

    @cached_property
    def class_labels(self) -> dict[str, list[str]]:
        """Column → names of its numbers, where the `datasets` library wrote class labels."""
        try:
            written = json.loads((self.schema.metadata or {}).get(b"huggingface", b"{}"))
            features: Mapping[str, Any] = written.get("info", {}).get("features", {})
        except (ValueError, AttributeError):
            return {}
        return {
            name: list(feature["names"])
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }

    def is_full(self, path: str) -> bool:
        """Whether a column, such as `image.bytes`, has a value in every row, as the footer tells.

        False where the footer does not tell.
        """
        with self._opened() as file:
            footer = file.metadata
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            chunks = [group.column(position) for position in range(group.num_columns)]
            found = [chunk.statistics for chunk in chunks if chunk.path_in_schema == path]
            if not found or any(s is None or not s.has_null_count or s.null_count for s in found):
                return False
        return True

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Some columns of all rows; numbers of class labels become their names."""
        named = {name: self.class_labels[name] for name in columns if name in self.class_labels}
        with self._opened() as file:
            for batch in file.iter_batches(_BATCH, columns=list(columns)):
                for row in batch.to_pylist():
                    for name, names in named.items():
                        row[name] = class_name(row[name], names)
                    yield row

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        with self._files.open(self._name) as raw:
            try:
                # pages are read as they are needed: row groups of pictures can be gigabytes
                with pq.ParquetFile(raw, pre_buffer=False, buffer_size=1 << 20) as file:
                    yield file
            except (pa.ArrowException, OSError) as error:
                raise SourceError(
                    f"{self._files.shown(self._name)} is no whole Parquet file ({error}); "
                    "write it again or remove it"
                ) from error


def class_name(value: object, names: Sequence[str]) -> object:
    """The name of a class label; None for the -1 of unlabeled rows."""
    if isinstance(value, int) and not isinstance(value, bool):
        return names[value] if 0 <= value < len(names) else None
    return value


def is_binary(kind: pa.DataType) -> bool:
    """Whether a column's type is bytes."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )
