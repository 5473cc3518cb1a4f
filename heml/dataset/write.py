"""The stage: real rows untouched, accepted samples beside them, weights that balance the cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from data_contracts.common import INPUT_PREFIX, SPLITS
from heml.bias.coverage import cell_name
from heml.cells import MISSING, known_groups
from heml.dataset.card import dataset_card
from heml.dataset.features import dataset_contract, output_names, with_features
from heml.images import image_index, iterate_images
from heml.progress import Progress
from heml.stage import Outcome, run_stage
from heml.store import Store, fingerprint, write_aside

VERSION = 1
#: Rows per row group, far below 100 MB for photographs of some 100 kB.
ROWS_PER_GROUP = 100
#: Bytes of images per shard.
SHARD_BYTES = 400_000_000


def write_dataset(
    store: Store,
    name: str,
    label_name: str,
    groups: Sequence[str],
    licence: str | None,
    recipe_fingerprint: str,
    progress: Progress,
) -> Outcome:
    """Writes `store.rebalanced_dataset`: `data/<split>-*.parquet` and a card in `README.md`."""
    key = fingerprint(
        VERSION,
        name,
        label_name,
        list(groups),
        licence,
        recipe_fingerprint,
        store.fingerprint("recombined_samples"),
        store.summary("images")["content"],
        store.summary("segments")["content"],
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        writer = _Writer(store, label_name, list(groups), licence, recipe_fingerprint, progress)
        with write_aside(store.rebalanced_dataset) as folder:
            summary = writer.write(folder)
            card = dataset_card(
                store, name, label_name, list(groups), licence, writer.contract, summary
            )
            (folder / "README.md").write_text(card)
        progress(f"rebalanced_dataset: {summary['words']}")
        return summary, [store.rebalanced_dataset]

    return run_stage(store, "rebalanced_dataset", key, compute, progress)


class _Writer:
    def __init__(
        self,
        store: Store,
        label_name: str,
        groups: list[str],
        licence: str | None,
        recipe_fingerprint: str,
        progress: Progress,
    ) -> None:
        self._store = store
        self._label = label_name
        self._groups = groups
        self._licence = licence
        self._recipe = recipe_fingerprint
        self._progress = progress
        schema = ds.dataset(store.images, format="parquet").schema
        self._inputs = [
            n.removeprefix(INPUT_PREFIX) for n in schema.names if n.startswith(INPUT_PREFIX)
        ]
        # Discovered groups are no column of the input, but of the dataset.
        self._found = [group for group in groups if group not in self._inputs]
        self._inputs += self._found
        self._names = output_names(self._inputs)
        self.contract = dataset_contract(self._inputs)
        self._schema = with_features(self.contract.schema())
        self._segmenter = _segmenter(store)

    def write(self, folder: Path) -> dict[str, Any]:
        index = image_index(self._store, self._groups)
        samples = ds.dataset(self._store.recombined_samples, format="parquet")
        accepted = samples.to_table(columns=["label", "groups"], filter=ds.field("accepted"))
        train = index[index["split"] == "train"]
        self._cells = dict(
            zip(
                index["image_id"],
                zip(index["label"], *(index[g] for g in self._groups), strict=True),
                strict=True,
            )
        )
        # A record without a group value is in no cell: it keeps weight 1.
        known = train.loc[known_groups(train, self._groups), "image_id"]
        before = Counter(self._cells[image_id] for image_id in known)
        made = Counter((row["label"], *row["groups"]) for row in accepted.to_pylist())
        counts = before + made
        total = sum(counts.values())
        weights = {cell: total / (len(counts) * n) for cell, n in counts.items()}
        (folder / "data").mkdir(parents=True)
        rows: Counter[str] = Counter()
        for split in SPLITS:
            if not (index["split"] == split).any():
                continue
            source = self._real_rows(split, weights)
            if split == "train":
                source = chain(source, self._recombined_rows(weights))
            rows[split] = self._write_split(folder / "data", split, source)
        cells = {
            cell_name(self._label, cell[0], self._groups, cell[1:]): {
                "real": before[cell],
                "recombined": made[cell],
                "weight": round(weights[cell], 6),
            }
            for cell in sorted(counts)
        }
        return {
            "rows": rows.total(),
            "real": len(index),
            "recombined": len(accepted),
            "rows_by_split": dict(rows),
            "label_column": self._names[self._label],
            "cells": cells,
            "words": f"{rows.total()} rows, {len(accepted)} of them recombined",
        }

    def _write_split(self, folder: Path, split: str, rows: Iterator[dict[str, Any]]) -> int:
        """Writes shards, streaming; they get their final names when their number is known."""
        shards: list[Path] = []
        writer: pq.ParquetWriter | None = None
        count, size = 0, 0
        batch: list[dict[str, Any]] = []

        def flush() -> None:
            nonlocal writer, size
            if writer is None:
                shards.append(folder / f"{split}-{len(shards):05d}.part")
                writer = pq.ParquetWriter(shards[-1], self._schema, compression="zstd")
            table = self.contract.table(batch)
            writer.write_table(table.cast(self._schema))
            size += sum(len(row["image"]["bytes"]) for row in batch)
            batch.clear()
            if size >= SHARD_BYTES:
                writer.close()
                writer, size = None, 0

        for row in rows:
            batch.append(row)
            count += 1
            if len(batch) == ROWS_PER_GROUP:
                flush()
        if batch:
            flush()
        if writer is not None:
            writer.close()
        for number, shard in enumerate(shards):
            shard.rename(folder / f"{split}-{number:05d}-of-{len(shards):05d}.parquet")
        return count

    def _real_rows(self, split: str, weights: dict[tuple[str, ...], float]) -> Iterator[dict]:
        inputs = [INPUT_PREFIX + n for n in self._inputs if n not in self._found]
        columns = ["image_id", "image", "split", "label", "width", "height", *inputs]
        segments = _segments_in_order(self._store)
        pending = next(segments, None)
        for batch in iterate_images(self._store, columns):
            for row in batch.to_pylist():
                masks: list[dict] = []
                # An image all of whose classes are ignored has no segments.
                if pending is not None and pending[0] == row["image_id"]:
                    masks, pending = pending[1], next(segments, None)
                if row["split"] != split:
                    continue
                cell = self._cells[row["image_id"]]
                values = dict(zip(self._groups, cell[1:], strict=True))
                row |= {INPUT_PREFIX + n: _known(values[n]) for n in self._found}
                yield {
                    **self._common(row, masks),
                    **{self._names[n]: row[INPUT_PREFIX + n] for n in self._inputs},
                    "image_id": row["image_id"],
                    "origin": "real",
                    "weight": weights.get(cell, 1.0) if split == "train" else 1.0,
                }
        if pending is not None:
            raise ValueError("images and segments are out of step: run the segments stage again")

    def _recombined_rows(self, weights: dict[tuple[str, ...], float]) -> Iterator[dict]:
        samples = ds.dataset(self._store.recombined_samples, format="parquet")
        for batch in samples.to_batches(filter=ds.field("accepted"), batch_size=ROWS_PER_GROUP):
            for row in batch.to_pylist():
                values = dict(zip(self._groups, row["groups"], strict=True))
                known = {self._label: row["label"], **values}
                yield {
                    **self._common(row, row["masks"]),
                    # Only label and groups are known of a recombined image.
                    **{self._names[n]: known.get(n) for n in self._inputs},
                    **{name: row[name] for name in row if name.startswith("gate_")},
                    "image_id": f"recombined-{row['edit_id'].removeprefix('edit-')}",
                    "origin": "recombined",
                    "host_id": row["host_id"],
                    "donor_ids": [row["donor_id"]],
                    "nodes": row["nodes"],
                    "operator": row["operator"],
                    "direction": row["direction"],
                    "seed": row["seed"],
                    "weight": weights[(row["label"], *row["groups"])],
                }

    def _common(self, row: dict[str, Any], masks: list[dict]) -> dict[str, Any]:
        empty: dict[str, Any] = dict.fromkeys(self.contract.column_names)
        return {
            **empty,
            "image": row["image"],
            "width": row["width"],
            "height": row["height"],
            "masks": masks,
            "segmenter": self._segmenter[0],
            "segmenter_licence": self._segmenter[1],
            "donor_ids": [],
            "nodes": [],
            "licence": self._licence,
            "recipe_fingerprint": self._recipe,
        }


def _known(value: str) -> str | None:
    return None if value == MISSING else value


def _segmenter(store: Store) -> tuple[str, str | None]:
    """What made the masks, and its licence: one segmenter makes all of a dataset."""
    columns = ["segmenter", "segmenter_licence"]
    rows = ds.dataset(store.segments, format="parquet").head(1, columns=columns).to_pylist()
    return (rows[0]["segmenter"], rows[0]["segmenter_licence"]) if rows else ("none", None)


def _segments_in_order(store: Store) -> Iterator[tuple[str, list[dict]]]:
    """Image ids with their masks, in stored order; images without any are left out."""
    columns = ["image_id", "class_name", "rle"]
    table = ds.dataset(store.segments, format="parquet")
    rows = (row for batch in table.to_batches(columns=columns) for row in batch.to_pylist())
    for image_id, own in groupby(rows, key=itemgetter("image_id")):
        yield image_id, [{"class_name": r["class_name"], "rle": r["rle"]} for r in own]


def read_split(folder: Path, split: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Batches of one split of a written dataset.

    Raises
    ------
    FileNotFoundError
        If the dataset has no such split.
    """
    files = sorted((folder / "data").glob(f"{split}-*.parquet"))
    if not files:
        raise FileNotFoundError(f"no split '{split}' in {folder}")
    yield from ds.dataset(files, format="parquet").to_batches(columns=columns, batch_size=64)
