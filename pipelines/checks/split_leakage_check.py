"""No recombined row descends from a held-out image, and held-out rows pass through untouched.

Knows nothing of Dagster.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_contracts import ContractError
from heml.images.revoked import read_revoked
from heml.storage.store import Store
from pipelines.checks.contract_check import parquet_files

HELD_OUT = ("validation", "test")


def check_no_test_attribute_auc(store: Store) -> dict[str, int]:
    """Compares the stored dataset with the images' own splits.

    Returns
    -------
    dict
        Counts of rows: recombined, and held out per split.

    Raises
    ------
    ContractError
        With an example id.
    """
    revoked = read_revoked(store)
    known = {i: row for i, row in _known(store).items() if i not in revoked}
    counts = {"recombined": 0, **dict.fromkeys(HELD_OUT, 0)}
    passed: dict[str, set[str]] = {split: set() for split in HELD_OUT}
    for path in parquet_files(store.rebalanced_dataset / "data"):
        split = path.name.partition("-")[0]
        # Only held-out pictures are read: nobody promised that those of train stay.
        columns = ["image_id", "origin", "host_id", "donor_ids"]
        for row in _rows(path, [*columns, "image"] if split in passed else columns):
            if row["origin"] == "recombined":
                counts["recombined"] += 1
                _check_descent(row, split, known)
            elif split in passed:
                passed[split].add(row["image_id"])
                _check_bytes(row, known)
    for split, ids in passed.items():
        expected = {image_id for image_id, (of, _) in known.items() if of == split}
        if ids != expected:
            example = sorted(ids ^ expected)[0]
            raise ContractError(
                f"the {split} split differs from the input's by {len(ids ^ expected)} images, "
                f"for example '{example}'"
            )
        counts[split] = len(ids)
    return counts


def _check_descent(row: dict[str, Any], split: str, known: dict[str, tuple[str, str]]) -> None:
    if split != "train":
        raise ContractError(f"the recombined row '{row['image_id']}' is in the {split} split")
    for parent in (row["host_id"], *row["donor_ids"]):
        of, _ = known.get(parent, ("no image of the input", ""))
        if of != "train":
            raise ContractError(
                f"the recombined row '{row['image_id']}' descends from '{parent}', which is {of}"
            )


def _check_bytes(row: dict[str, Any], known: dict[str, tuple[str, str]]) -> None:
    _, sha256 = known.get(row["image_id"], ("", ""))
    if sha256 and hashlib.sha256(row["image"]["bytes"]).hexdigest() != sha256:
        raise ContractError(f"the picture of the held-out row '{row['image_id']}' was changed")


def _known(store: Store) -> dict[str, tuple[str, str]]:
    """Image id → split and SHA-256."""
    return {
        row["image_id"]: (row["split"], row["sha256"])
        for path in parquet_files(store.images)
        for row in _rows(path, ["image_id", "split", "sha256"])
    }


def _rows(path: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(64 if "image" in columns else 4096, columns=columns):
            yield from batch.to_pylist()
