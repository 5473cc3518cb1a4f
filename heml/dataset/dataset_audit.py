"""What a dataset folder must pass before it is published, and while it is kept.

Each rule takes the folder, so that it looks at a candidate as it does at the published one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_contracts import REBALANCED_DATASET, ContractError
from heml.dataset_folder.manifest_file import DatasetError, verify
from heml.dataset_folder.reader import read_rows, splits_of
from heml.images.revoked import read_revoked
from heml.storage.store import Store
from heml.storage.table_check import check_table, parquet_files

HELD_OUT = ("validation", "test")


def audit_dataset(store: Store, folder: Path) -> None:
    """Refuses a candidate that must not be published.

    Parameters
    ----------
    store : Store
        What the candidate was made from.
    folder : pathlib.Path
        The candidate.

    Raises
    ------
    ContractError
        Naming the rule and an example row.
    """
    for name, check in _RULES.items():
        try:
            check(store, folder)
        except ContractError as error:
            raise ContractError(
                f"the new dataset is not published, because it fails '{name}': {error}"
            ) from error


def check_contract(store: Store, folder: Path) -> dict[str, int]:
    """Every file keeps the contract.

    Raises
    ------
    ContractError
    """
    files = parquet_files(folder / "data")
    return {"rows": check_table(files, REBALANCED_DATASET, ""), "files": len(files)}


def check_dataset_is_whole(folder: Path) -> dict[str, int]:
    """Compares every byte of the dataset with its manifest.

    Raises
    ------
    ContractError
    """
    try:
        manifest = verify(folder)
    except DatasetError as error:
        raise ContractError(str(error)) from error
    return {"files": len(manifest["files"]), "rows": manifest["rows"]}


def check_nothing_revoked(store: Store, folder: Path) -> dict[str, int]:
    """Looks at every row: neither a revoked image, by id or by bytes, nor made of one.

    Raises
    ------
    ContractError
        With an example id.
    """
    revoked = read_revoked(store)
    rows = 0
    if not revoked:
        return {"revoked": 0, "rows": rows}
    hashes = set(revoked.images.values())
    columns = ["image_id", "host_id", "donor_ids", "image"]
    for split in splits_of(folder):
        for row in read_rows(folder, split, columns):
            rows += 1
            for image_id in (row["image_id"], row["host_id"], *row["donor_ids"]):
                if image_id in revoked:
                    raise ContractError(
                        f"the row '{row['image_id']}' is there although '{image_id}' is revoked"
                    )
            if hashlib.sha256(row["image"]["bytes"]).hexdigest() in hashes:
                raise ContractError(f"the row '{row['image_id']}' has the bytes of a revoked image")
    return {"revoked": len(revoked), "rows": rows}


def check_no_test_leakage(store: Store, folder: Path) -> dict[str, int]:
    """No recombined row descends from a held-out image; held-out rows are the input's own.

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
    for path in parquet_files(folder / "data"):
        split = path.name.partition("-")[0]
        # Only held-out images are read: nobody promised that those of train stay.
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


#: The name that the check has everywhere → what examines a candidate.
_RULES: Mapping[str, Callable[[Store, Path], Mapping[str, int]]] = {
    "contract": check_contract,
    "no_test_leakage": check_no_test_leakage,
    "nothing_revoked": check_nothing_revoked,
}


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
        raise ContractError(f"the image of the held-out row '{row['image_id']}' was changed")


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
