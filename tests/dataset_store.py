"""A store that is ready for the dataset to be written: real images and segments, invented samples.

Nothing is trained: recombined pixels and gate values are made up, tables and stages are real.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from data_contracts import (
    ASSOCIATION,
    BIAS_SCORES,
    PLANNED_GROUPS,
    RECOMBINED_SAMPLES,
    Contract,
)
from heml.compute.progress import silent
from heml.dataset.dataset_settings import DatasetSettings
from heml.dataset.dataset_stage import write_dataset
from heml.dataset.description import Description
from heml.images.images_table import image_index
from heml.recombination.gate import GATE_COLUMNS
from heml.segmentation.masks import encode
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layout import open_source
from heml.sources.layouts.folder import FolderSource
from heml.sources.layouts.parquet import ParquetSource
from heml.sources.layouts.portraits import PortraitsSource
from heml.storage.run_context import RunContext
from heml.storage.sharded_parquet import ShardWriter
from heml.storage.stage import Outcome
from heml.storage.store import Store
from heml.taxonomy import builtin

LABEL, ATTRIBUTES = "mouth", ["hair_tone"]
TAXONOMY = builtin("portraits")
ABOUT = Description("small", LABEL, "CC0-1.0", "split")


def make_store(
    folder: Path,
    count: int = 80,
    samples: int = 24,
    columns: Mapping[str, str] | None = None,
    encode_image: Callable[[bytes, int], bytes] = lambda data, number: data,
) -> Store:
    """Everything up to the recombined samples; every third sample is refused.

    Parameters
    ----------
    columns : mapping of str to str, optional
        Columns that the input has besides, with a value for each; it is a Parquet file then.
    encode_image : callable
        Gives an image's file, from its PNG and its number.
    """
    store = Store(folder)
    root = folder.with_name(f"{folder.name}-input")
    if columns is None:
        source: FolderSource | ParquetSource = _portraits_in_a_folder(root, count)
    else:
        source = _portraits_in_parquet(root, count, columns, encode_image)
    ingest(store, source, folder, TAXONOMY, True, silent)
    segment(RunContext(store, TAXONOMY), AnnotatedSegmentation())
    _samples(store, samples)
    _scores(store)
    targets(store, lambda label, attributes: 30)
    store.finish("rebalance_plan", "plan", {"notes": {}}, [])
    return store


def write(store: Store, settings: DatasetSettings | None = None) -> Outcome:
    return write_dataset(run_of(store), ABOUT, "recipe", settings)


def run_of(store: Store) -> RunContext:
    return RunContext(store, TAXONOMY, tuple(ATTRIBUTES))


def _portraits_in_a_folder(root: Path, count: int) -> FolderSource:
    """Portraits as files with a table, whose columns have names that others use too."""
    drawn = PortraitsSource(kind="portraits", count=count, association=0.9, size=32)
    source = open_source(drawn, root)
    rows = []
    for record in source.records():
        names = {
            "file_name": f"images/{record.file_name}",
            "mask_name": f"masks/{record.file_name}",
        }
        for name, content in zip(names.values(), (record.image, record.mask), strict=True):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content or b"")
        mine = {"split": record.split, "path": "a shelf", "weight": "70 kg"}
        rows.append(names | mine | {LABEL: record.columns[LABEL], **_attributes(record.columns)})
    with (root / "metadata.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    classes = {str(number): name for number, name in source.classes().items()}
    (root / "classes.json").write_text(json.dumps(classes))
    content = {"kind": "folder", "root": str(root), "label": LABEL, "attributes": ATTRIBUTES}
    return FolderSource.model_validate(content)


def _portraits_in_parquet(
    root: Path,
    count: int,
    columns: Mapping[str, str],
    encode_image: Callable[[bytes, int], bytes],
) -> ParquetSource:
    """Portraits in one Parquet file, with columns of any name."""
    drawn = PortraitsSource(kind="portraits", count=count, association=0.9, size=32)
    source = open_source(drawn, root)
    rows = []
    for number, record in enumerate(source.records()):
        assert record.image is not None
        image = {"bytes": encode_image(record.image, number), "path": f"{number}.png"}
        extra = {name: f"{value}{number}" for name, value in columns.items()}
        rows.append(
            {
                "image": image,
                "mask": {"bytes": record.mask, "path": f"{number}.png"},
                "part": record.split,
                LABEL: record.columns[LABEL],
                **_attributes(record.columns),
                **extra,
            }
        )
    root.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), root / "data.parquet")
    content = {
        "kind": "parquet",
        "root": str(root / "data.parquet"),
        "label": LABEL,
        "attributes": ATTRIBUTES,
        "split": "part",
        "id": None,
        "classes": {str(number): name for number, name in source.classes().items()},
    }
    return ParquetSource.model_validate(content)


def _attributes(columns: Mapping[str, str | None]) -> dict[str, str | None]:
    return {attribute: columns[attribute] for attribute in ATTRIBUTES}


def _samples(store: Store, count: int) -> None:
    rng = np.random.default_rng(0)
    index = image_index(store, ATTRIBUTES)
    train = index[index["split"] == "train"].reset_index(drop=True)
    ids = train["image_id"].tolist()
    accepted = 0
    with ShardWriter(store.recombined_samples, RECOMBINED_SAMPLES) as writer:
        for number in range(count):
            host, donor = number % len(ids), (number * 7 + 1) % len(ids)
            pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            reason = "label_kept" if number % 3 == 2 else ""
            accepted += not reason
            row = {
                "edit_id": f"edit-{number:06d}",
                "label": train.at[host, "label"],
                "attributes": [train.at[donor, ATTRIBUTES[0]]],
                "direction": "swap_attribute",
                "operator": "transplant",
                "nodes": ["hair"],
                "recolored_nodes": ["mouth"],
                "host_id": ids[host],
                "donor_id": ids[donor],
                "seed": number,
                "accepted": not reason,
                "reason": reason,
                "refused_by": [reason] if reason else [],
                "misfit": None,
                "critic": None,
                "image": {"bytes": buffer.getvalue(), "path": f"edit-{number:06d}.png"},
                "masks": [{"class_name": "hair", "rle": encode(pixels[..., 0] > 99)}],
                "origins": [{"origin": "donor", "rle": encode(np.ones((32, 32), bool))}],
                "code_fingerprint": "0" * 16,
                "width": 32,
                "height": 32,
            }
            row |= {column.name: 0.5 for column in GATE_COLUMNS}
            writer.write([_filled(RECOMBINED_SAMPLES, row)], len(buffer.getvalue()))
    store.finish(
        "recombined_samples",
        f"samples-{count}",
        {
            "tried": count,
            "accepted": accepted,
            "refused": count - accepted,
            "accepted_by_operator": {"transplant": accepted},
            "refused_by_reason": {"label_kept": count - accepted},
            "wanted": count,
            "missing": 0,
        },
        [store.recombined_samples],
    )


def targets(store: Store, aim: Callable[[str, list[str]], int]) -> None:
    """A plan that aims at so many records in every group, by label and attributes."""
    index = image_index(store, ATTRIBUTES)
    groups = index.loc[index["split"] == "train", ["label", *ATTRIBUTES]].drop_duplicates()
    rows = [
        _filled(
            PLANNED_GROUPS,
            {"label": label, "attributes": attributes, "n_target": aim(label, attributes)},
        )
        for label, *attributes in groups.itertuples(index=False)
    ]
    pq.write_table(PLANNED_GROUPS.table(rows), store.planned_groups)


def _scores(store: Store) -> None:
    """One leaf that leads, and the association."""
    known: dict[str, object] = {
        "node": "hair",
        "kind": "leaf",
        "rank": 1,
        "attribute": ATTRIBUTES[0],
        "score": 0.9,
        "score_low": 0.8,
        "score_high": 0.95,
        "n": 56,
        "n_conflicting": 6,
        "accuracy_aligned": 0.9,
        "accuracy_conflicting": 0.1,
    }
    pq.write_table(BIAS_SCORES.table([_filled(BIAS_SCORES, known)]), store.bias_scores)
    known = {
        "attribute": ATTRIBUTES[0],
        "cramers_v": 0.8,
        "cramers_v_low": 0.7,
        "cramers_v_high": 0.85,
        "n": 56,
    }
    pq.write_table(ASSOCIATION.table([_filled(ASSOCIATION, known)]), store.association)


def _filled(contract: Contract, known: Mapping[str, object]) -> dict[str, object]:
    """A row that says no more than is known: nulls, or nothing of the column's type."""
    row: dict[str, object] = {}
    for column in contract.columns:
        if column.name in known or column.nullable:
            row[column.name] = known.get(column.name)
        elif pa.types.is_list(column.type):
            row[column.name] = []
        else:
            row[column.name] = {pa.string(): "", pa.bool_(): True}.get(column.type, 0)
    return row
