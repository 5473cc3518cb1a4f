"""WebDataset shards: tar files of samples, each an image, its class number and its other columns.

Source: the WebDataset format, github.com/webdataset/webdataset (tar files whose members share a
key up to the first dot of their name).
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heml.dataset.exports.image_files import suffix_of
from heml.dataset_folder.features import class_names
from heml.dataset_folder.reader import read_rows, schema_of, splits_of

#: Bytes of images per tar file.
SHARD_BYTES = 500_000_000


def export_webdataset(
    source: Path, target: Path, label_column: str, shard_bytes: int = SHARD_BYTES
) -> int:
    """Writes `<split>-000000.tar`, ...: of every row `<key>.<suffix>`, `<key>.cls`, `<key>.json`.

    Parameters
    ----------
    source : pathlib.Path
        A dataset folder.
    target : pathlib.Path
        A folder that does not exist.
    label_column : str
        Column of the label: its class number is the `cls` of a sample.
    shard_bytes : int
        A tar file ends at this size of images.

    Returns
    -------
    int
        Rows.
    """
    schema = schema_of(source)
    codes = {name: code for code, name in enumerate(class_names(schema)[label_column])}
    target.mkdir(parents=True)
    count = 0
    for split in splits_of(source):
        rows = read_rows(source, split, schema.names)
        for number, shard in enumerate(_shards(rows, shard_bytes)):
            with tarfile.open(target / f"{split}-{number:06d}.tar", "w") as tar:
                for row in shard:
                    _add(tar, f"{count:08d}", row, codes[row[label_column]])
                    count += 1
    return count


def _shards(rows: Iterator[dict[str, Any]], shard_bytes: int) -> Iterator[Iterator[dict[str, Any]]]:
    """Cuts rows by the size of their images; each part must be used up before the next."""
    pending = next(rows, None)

    def shard() -> Iterator[dict[str, Any]]:
        nonlocal pending
        size = 0
        while pending is not None and size < shard_bytes:
            row, pending = pending, next(rows, None)
            size += len(row["image"]["bytes"])
            yield row

    while pending is not None:
        yield shard()


def _add(tar: tarfile.TarFile, key: str, row: dict[str, Any], code: int) -> None:
    data = row.pop("image")["bytes"]
    text = json.dumps(row, ensure_ascii=False, sort_keys=True).encode()
    for suffix, content in ((suffix_of(data), data), ("cls", str(code).encode()), ("json", text)):
        # A new TarInfo has neither time nor owner: the same rows give the same bytes.
        member = tarfile.TarInfo(f"{key}.{suffix}")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
