"""COCO instances with run-length encoded masks: per split `data/` and `labels.json`.

The layout is the one that FiftyOne's `COCODetectionDataset` importer and `pycocotools` read.
Source: COCO data format, cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import pyarrow.parquet as pq

from heml.dataset.export_format import EXPORTS
from heml.dataset.image_files import columns_of, file_name
from heml.dataset_folder.reader import read_rows, schema_of, split_files, splits_of


class Coco:
    """Every segment is an annotation; the other columns of a row are under `row` in the entry of
    its image, where no key of COCO can be meant.
    """

    name = "coco"
    rank = 2
    description = "COCO instances with run-length encoded masks, for detection and segmentation."
    layout = "`<split>/data/`, `<split>/labels.json`"
    read_by = (
        "`pycocotools`; FiftyOne's `COCODetectionDatasetImporter` with "
        '`label_types="segmentations"`'
    )

    def write(self, source: Path, target: Path, manifest: Mapping[str, Any]) -> int:
        """Writes `<split>/data/00000000.<suffix>` and `<split>/labels.json`."""
        columns = schema_of(source).names
        # Numbered over all splits, so that a number means the same in each.
        numbers = {name: n for n, name in enumerate(sorted(_class_names(source)), start=1)}
        count = 0
        for split in splits_of(source):
            folder = target / split
            (folder / "data").mkdir(parents=True)
            aside = folder / "annotations.part"
            with (
                (folder / "labels.json").open("w", encoding="utf-8") as labels,
                aside.open("w+", encoding="utf-8") as annotations,
            ):
                content = {
                    "info": {"description": f"{manifest['name']}, rebalanced: {split} split"},
                    "licenses": _licences(source, split),
                    "categories": [
                        {"id": number, "name": of, "supercategory": "segment"}
                        for of, number in numbers.items()
                    ],
                }
                head = json.dumps(content, ensure_ascii=False)
                # Images are many: they and their annotations are written as they come.
                labels.write(head.removesuffix("}") + ',\n"images": [\n')
                count += _write_rows(source, split, columns, folder, numbers, labels, annotations)
                labels.write('\n],\n"annotations": [\n')
                annotations.seek(0)
                while chunk := annotations.read(1 << 20):
                    labels.write(chunk)
                labels.write("\n]}\n")
            aside.unlink()
        return count


def _write_rows(
    source: Path,
    split: str,
    columns: list[str],
    folder: Path,
    numbers: dict[str, int],
    labels: TextIO,
    annotations: TextIO,
) -> int:
    licences = {entry["name"]: entry["id"] for entry in _licences(source, split)}
    segments = 0
    count = 0
    for row in read_rows(source, split, columns):
        data = row["image"]["bytes"]
        count += 1
        entry = {
            "id": count,
            "file_name": file_name(count - 1, data),
            "width": row["width"],
            "height": row["height"],
            "license": licences.get(row["licence"], 0),
            "row": columns_of(row),
        }
        (folder / "data" / entry["file_name"]).write_bytes(data)
        _put(labels, entry, first=count == 1)
        for segment in row["masks"]:
            segments += 1
            annotation = _annotation(segment, entry, numbers[segment["class_name"]], segments)
            _put(annotations, annotation, first=segments == 1)
    return count


def _annotation(
    segment: dict[str, str], image: dict[str, Any], category: int, number: int
) -> dict[str, Any]:
    from pycocotools import mask as coco

    rle = {"size": [image["height"], image["width"]], "counts": segment["rle"]}
    return {
        "id": number,
        "image_id": image["id"],
        "category_id": category,
        "segmentation": rle,
        "area": int(coco.area(rle)),
        "bbox": [int(edge) for edge in coco.toBbox(rle)],
        "iscrowd": 0,
    }


def _put(file: TextIO, entry: dict[str, Any], first: bool) -> None:
    file.write(("" if first else ",\n") + json.dumps(entry, ensure_ascii=False))


def _class_names(source: Path) -> set[str]:
    """Names of all segments; only this part of the masks is read."""
    found: set[str] = set()
    for split in splits_of(source):
        for path in split_files(source, split):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(1024, columns=["masks.list.element.class_name"]):
                    found |= {e["class_name"] for e in batch.column(0).flatten().to_pylist()}
    return found


def _licences(source: Path, split: str) -> list[dict[str, Any]]:
    names = {row["licence"] for row in read_rows(source, split, ["licence"], 4096)}
    return list(_numbered(sorted(name for name in names if name)))


def _numbered(names: list[str]) -> Iterator[dict[str, Any]]:
    yield {"id": 0, "name": "not stated", "url": ""}
    for number, name in enumerate(names, start=1):
        yield {"id": number, "name": name, "url": ""}


EXPORTS.register(Coco())
