"""WebDataset shards: tar files of samples, each an image, its class number and its other columns.

Source: the WebDataset format, github.com/webdataset/webdataset (tar files whose members share a
key up to the first dot of their name).
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from heml.dataset.export_format import EXPORTS
from heml.dataset.image_files import columns_of, suffix_of
from heml.dataset_folder.features import class_names
from heml.dataset_folder.reader import read_rows, schema_of, splits_of

#: Bytes of images per tar file.
SHARD_BYTES = 500_000_000
#: Columns that no row lacks and that are plain: readers infer the types from the first samples.
_PLAIN = ("image_id", "origin", "group", "weight", "width", "height")


class WebDataset:
    """Of every row `<key>.<suffix>`, `<key>.cls` and `<key>.json`.

    The JSON holds what no row lacks, and under `row` all columns as a JSON text: `datasets` takes
    the types from the first five samples, where a column of recombined rows is still empty. All
    samples have the same members, since readers expect that: where images are of several formats
    all are named `jpg`, and decoders find out from the content.
    """

    name = "webdataset"
    rank = 1
    description = "Tar files for reading in sequence, such as from object stores."
    layout = "`<split>-000000.tar` of image, `cls`, `json`"
    read_by = '`webdataset`; `load_dataset("webdataset", data_files=...)`'

    def __init__(self, shard_bytes: int = SHARD_BYTES) -> None:
        self._shard_bytes = shard_bytes

    def write(self, source: Path, target: Path, manifest: Mapping[str, Any]) -> int:
        """Writes `<split>-000000.tar`, ...; a file ends at `shard_bytes` of images."""
        schema = schema_of(source)
        label = manifest["label"]
        codes = {name: code for code, name in enumerate(class_names(schema)[label])}
        suffix = _common_suffix(source)
        target.mkdir(parents=True)
        count = 0
        for split in splits_of(source):
            rows = read_rows(source, split, schema.names)
            for number, shard in enumerate(_shards(rows, self._shard_bytes)):
                with tarfile.open(target / f"{split}-{number:06d}.tar", "w") as tar:
                    for row in shard:
                        _add(tar, f"{count:08d}", suffix, row, codes[row[label]])
                        count += 1
        return count


def _common_suffix(source: Path) -> str:
    found: set[str] = set()
    for split in splits_of(source):
        for row in read_rows(source, split, ["image"]):
            found.add(suffix_of(row["image"]["bytes"]))
            if len(found) > 1:
                return "jpg"
    return found.pop() if found else "jpg"


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


def _add(tar: tarfile.TarFile, key: str, suffix: str, row: dict[str, Any], code: int) -> None:
    columns = json.dumps({**columns_of(row), "masks": row["masks"]}, ensure_ascii=False)
    content = {**{name: row[name] for name in _PLAIN}, "row": columns}
    members = {
        suffix: row["image"]["bytes"],
        "cls": str(code).encode(),
        "json": json.dumps(content, ensure_ascii=False).encode(),
    }
    for name, data in members.items():
        # A new TarInfo has neither time nor owner: the same rows give the same bytes.
        member = tarfile.TarInfo(f"{key}.{name}")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


EXPORTS.register(WebDataset())
