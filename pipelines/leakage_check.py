"""No recombined row descends from a held-out image, and held-out rows pass through untouched.

Reads ids only. Knows nothing of Dagster.
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_contracts import ContractError
from heml.store import Store
from pipelines.table_check import parquet_files

HELD_OUT = ("validation", "test")


def check_no_test_leakage(store: Store) -> dict[str, int]:
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
    split_of = _splits(store)
    counts = {"recombined": 0, **dict.fromkeys(HELD_OUT, 0)}
    passed: dict[str, set[str]] = {split: set() for split in HELD_OUT}
    for path in parquet_files(store.rebalanced_dataset / "data"):
        split = path.name.partition("-")[0]
        for row in _rows(path, ["image_id", "origin", "host_id", "donor_ids"]):
            if row["origin"] == "recombined":
                counts["recombined"] += 1
                _check_descent(row, split, split_of)
            elif split in passed:
                passed[split].add(row["image_id"])
    for split, ids in passed.items():
        expected = {image_id for image_id, of in split_of.items() if of == split}
        if ids != expected:
            example = sorted(ids ^ expected)[0]
            raise ContractError(
                f"the {split} split differs from the input's by {len(ids ^ expected)} images, "
                f"for example '{example}'"
            )
        counts[split] = len(ids)
    return counts


def _check_descent(row: dict[str, Any], split: str, split_of: dict[str, str]) -> None:
    if split != "train":
        raise ContractError(f"the recombined row '{row['image_id']}' is in the {split} split")
    for parent in (row["host_id"], *row["donor_ids"]):
        of = split_of.get(parent, "no image of the input")
        if of != "train":
            raise ContractError(
                f"the recombined row '{row['image_id']}' descends from '{parent}', which is {of}"
            )


def _splits(store: Store) -> dict[str, str]:
    return {
        row["image_id"]: row["split"]
        for path in parquet_files(store.images)
        for row in _rows(path, ["image_id", "split"])
    }


def _rows(path: Path, columns: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
    return rows
