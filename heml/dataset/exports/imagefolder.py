"""Image files in a folder per split, with tables of the other columns.

`datasets.load_dataset("imagefolder", data_dir=...)` reads `<split>/metadata.parquet`, which keeps
types and class names; a CSV would lose them where a column is empty. `table.csv` holds the same
rows for people and other tools.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from heml.dataset.exports.image_files import file_name, text_of
from heml.dataset_folder.features import class_names, with_features
from heml.dataset_folder.reader import schema_of, split_files, splits_of

_BATCH = 64


def export_imagefolder(source: Path, target: Path) -> int:
    """Writes `<split>/00000000.<suffix>`, `<split>/metadata.parquet` and `table.csv`.

    Parameters
    ----------
    source : pathlib.Path
        A dataset folder.
    target : pathlib.Path
        A folder that does not exist.

    Returns
    -------
    int
        Rows.
    """
    stored = schema_of(source)
    classes = class_names(stored)
    kept = [field for field in stored if field.name != "image"]
    # The reader puts an image column of its own in the place of file_name.
    fields = [pa.field("file_name", pa.string()), *kept]
    schema = with_features(pa.schema(fields), classes)
    target.mkdir(parents=True)
    count = 0
    with (target / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["file_name", "split", *(f.name for f in kept)])
        table.writeheader()
        for split in splits_of(source):
            (target / split).mkdir()
            number = 0
            path = target / split / "metadata.parquet"
            with pq.ParquetWriter(path, schema, compression="zstd") as metadata:
                for shard in split_files(source, split):
                    with pq.ParquetFile(shard) as parquet:
                        for batch in parquet.iter_batches(_BATCH):
                            rows = batch.to_pylist()
                            for row in rows:
                                _write_image(target / split, number, row)
                                table.writerow(_text(row, split, classes))
                                number += 1
                            metadata.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += number
    return count


def _write_image(folder: Path, number: int, row: dict[str, Any]) -> None:
    data = row.pop("image")["bytes"]
    row["file_name"] = file_name(number, data)
    (folder / row["file_name"]).write_bytes(data)


def _text(row: dict[str, Any], split: str, classes: dict[str, list[str]]) -> dict[str, Any]:
    text = {name: text_of(value) for name, value in row.items()}
    for column, names in classes.items():
        if row[column] is not None:
            text[column] = names[row[column]]
    return text | {"file_name": f"{split}/{row['file_name']}", "split": split}
