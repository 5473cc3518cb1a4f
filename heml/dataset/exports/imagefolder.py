"""Image files in a folder per split, with tables of the other columns.

`datasets.load_dataset("imagefolder", data_dir=...)` reads `<split>/metadata.parquet`, which keeps
types and class names; a CSV would lose them where a column is empty. `table.csv` holds the same
rows for people and other tools.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts import REBALANCED_DATASET
from heml.dataset.export_format import EXPORTS
from heml.dataset.image_files import file_name, text_of
from heml.dataset_folder.features import class_names, with_features
from heml.dataset_folder.reader import schema_of, split_files, splits_of

_BATCH = 64
#: The column that holds the input's columns, except for label and attributes.
INPUT = "input"
#: The reader takes columns of these names, and names that end so, for paths of images.
_PATHS = ("file_name", "file_names")
_TAKEN = {"image", "images", "split", INPUT, *_PATHS}


class ImageFolder:
    """The input's own columns are nested under `input`; label and attributes stay columns."""

    name = "imagefolder"
    rank = 0
    description = "Image files with tables, for people and for tools that read folders."
    layout = "`<split>/*.jpg`, `<split>/metadata.parquet`, `table.csv`"
    read_by = '`load_dataset("imagefolder", data_dir=...)`'

    def write(self, source: Path, target: Path, manifest: Mapping[str, Any]) -> int:
        """Writes `<split>/00000000.<suffix>`, `<split>/metadata.parquet` and `table.csv`."""
        shape = _Shape(schema_of(source))
        target.mkdir(parents=True)
        count = 0
        with (target / "table.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(shape.header)
            for split in splits_of(source):
                (target / split).mkdir()
                number = 0
                path = target / split / "metadata.parquet"
                with pq.ParquetWriter(path, shape.schema, compression="zstd") as metadata:
                    for shard in split_files(source, split):
                        with pq.ParquetFile(shard) as parquet:
                            for batch in parquet.iter_batches(_BATCH):
                                rows = []
                                for row in batch.to_pylist():
                                    data = row["image"]["bytes"]
                                    name = file_name(number, data)
                                    (target / split / name).write_bytes(data)
                                    rows.append({"file_name": name, **shape.nested(row)})
                                    table.writerow(shape.text(row, f"{split}/{name}", split))
                                    number += 1
                                written = pa.Table.from_pylist(rows, schema=shape.schema)
                                metadata.write_table(written)
                count += number
        return count


class _Shape:
    """How the columns of a dataset are laid out in the tables."""

    def __init__(self, stored: pa.Schema) -> None:
        self._classes = class_names(stored)
        ours = REBALANCED_DATASET.column_names
        kept = [f for f in stored if f.name != "image"]
        taken = {*ours, *_TAKEN}
        #: Column of the dataset → its column here.
        self._top = {
            f.name: f.name if f.name in ours else _free(f.name, taken)
            for f in kept
            if f.name in ours or f.name in self._classes
        }
        inner = {*_PATHS}
        self._inner = {f.name: _free(f.name, inner) for f in kept if f.name not in self._top}
        fields = [pa.field("file_name", pa.string())]
        fields += [f.with_name(self._top[f.name]) for f in kept if f.name in self._top]
        nested = [pa.field(self._inner[f.name], f.type) for f in kept if f.name in self._inner]
        if nested:
            fields.append(pa.field(INPUT, pa.struct(nested)))
        classes = {self._top[name]: names for name, names in self._classes.items()}
        # The reader puts an image column of its own in the place of file_name.
        self.schema = with_features(pa.schema(fields), classes)
        self.header = ["file_name", "split", *self._top.values()]
        self.header += [f"{INPUT}.{name}" for name in self._inner.values()]

    def nested(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of `metadata.parquet`, without its file name."""
        inputs = {name: row[column] for column, name in self._inner.items()}
        return {name: row[column] for column, name in self._top.items()} | {INPUT: inputs}

    def text(self, row: dict[str, Any], path: str, split: str) -> list[Any]:
        """A line of `table.csv`, class names in place of class numbers."""
        named = {
            column: None if row[column] is None else names[row[column]]
            for column, names in self._classes.items()
        }
        return [path, split, *(text_of({**row, **named}[c]) for c in (*self._top, *self._inner))]


def _free(name: str, taken: set[str]) -> str:
    """The name, with as many `_` behind it as it takes not to mean anything here."""
    while name in taken or name.endswith(tuple(f"_{path}" for path in _PATHS)):
        name += "_"
    taken.add(name)
    return name


EXPORTS.register(ImageFolder())
