"""Biased-training tasks: a table of images with splits train, test and oracle, read as arrays."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from heml.effect.problem import TrainingSet
from heml.effect.training_images import decode_resized, group_codes, resize_ids
from heml.images.groups import group_name
from heml.images.images_table import decode_mask

SPLITS = ("train", "validation", "test", "oracle")


class TaskError(ValueError):
    """A task that cannot be used, with the file and what to do."""


@dataclass(frozen=True)
class Task:
    """One biased training set with its test set.

    Parameters
    ----------
    name : str
        The table's, without ending.
    table : pathlib.Path
        CSV with the columns file_name, split, label and attribute, and mask_name where segments are
        wanted.
    root : pathlib.Path
        Folder that file names start from.
    label, attribute : str
        Columns.
    """

    name: str
    table: Path
    root: Path
    label: str
    attribute: str

    def rows(self) -> pd.DataFrame:
        """The rows of the known splits, values as text, missing ones empty.

        Raises
        ------
        TaskError
        """
        if not self.table.is_file():
            raise TaskError(f"{self.table}: no such file")
        frame = pd.read_csv(self.table, dtype=str, keep_default_na=False)
        for column in ("file_name", "split", self.label, self.attribute):
            if column not in frame.columns:
                raise TaskError(
                    f"{self.table}: no column '{column}'; it has {', '.join(frame.columns)}"
                )
        frame = frame[frame["split"].isin(SPLITS) & (frame[self.label].str.strip() != "")]
        for split in ("train", "test"):
            if not (frame["split"] == split).any():
                raise TaskError(f"{self.table}: no row has split '{split}': the effect needs it")
        return frame.reset_index(drop=True)

    def fingerprint(self) -> str:
        """Of the table and what is read from it."""
        content = [self.table.read_bytes(), str(self.root.resolve()), self.label, self.attribute]
        return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class TaskData:
    """A task as arrays.

    Parameters
    ----------
    splits : dict of str to TrainingSet
        train, test, and validation and oracle where the table has them. Test rows without an
        attribute value are left out.
    test_names : list of str
        File names of the test rows.
    labels : list of str
        Label values by code.
    groups : list of str
        Groups in words by number: test groups first.
    test_groups : int
        How many of the groups have test images.
    """

    splits: dict[str, TrainingSet]
    test_names: list[str]
    labels: list[str]
    groups: list[str]
    test_groups: int


def read_task(task: Task, size: int, cache: Path) -> TaskData:
    """Reads a task; decoded images are kept in `cache`, so that other processes need not."""
    rows = task.rows()
    # Test groups get the first numbers: those of groups without a test image would be empty.
    keys = list(zip(rows[task.label], rows[task.attribute], strict=True))
    known = rows[task.attribute].str.strip() != ""
    in_test = {k for k, t in zip(keys, known & (rows["split"] == "test"), strict=True) if t}
    others = {key for key, t in zip(keys, known, strict=True) if t} - in_test
    if not in_test:
        raise TaskError(f"{task.table}: no test row has a value in column '{task.attribute}'")
    order = [*sorted(in_test), *sorted(others)]
    numbers = {key: number for number, key in enumerate(order)}
    labels = sorted(rows[task.label].unique())
    codes = {label: code for code, label in enumerate(labels)}
    images, segments = _arrays(task, rows, size, cache)
    groups = group_codes(keys, numbers)
    targets = rows[task.label].map(codes).to_numpy(int)
    kept = (rows["split"] != "test") | (groups >= 0)
    splits = {}
    for split in SPLITS:
        own = np.flatnonzero((rows["split"] == split) & kept)
        if len(own):
            splits[split] = TrainingSet(
                images[own],
                targets[own],
                groups[own],
                np.ones(len(own)),
                None if segments is None else segments[own],
            )
    names = rows.loc[(rows["split"] == "test") & kept, "file_name"].tolist()
    words = [group_name(task.label, label, [task.attribute], [value]) for label, value in order]
    return TaskData(splits, names, labels, words, len(in_test))


def _arrays(
    task: Task, rows: pd.DataFrame, size: int, cache: Path
) -> tuple[np.ndarray, np.ndarray | None]:
    masked = "mask_name" in rows.columns and bool((rows["mask_name"].str.strip() != "").all())
    key = hashlib.sha256(
        json.dumps([task.fingerprint(), size, masked, rows["file_name"].tolist()]).encode()
    ).hexdigest()[:12]
    path = cache / f"{task.name}-{key}.npz"
    if not path.is_file():
        images = np.stack([decode_resized(_bytes(task, name), size) for name in rows["file_name"]])
        # Class ids from one up: zero is no segment.
        ids = (
            np.stack(
                [
                    resize_ids(decode_mask(_bytes(task, name)), size).astype(int) + 1
                    for name in rows["mask_name"]
                ]
            ).clip(max=255)
            if masked
            else np.zeros((0, size, size))
        )
        cache.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".tmp.npz")
        np.savez(aside, images=images, segments=ids.astype(np.uint8))
        aside.replace(path)
    with np.load(path) as stored:
        return stored["images"], stored["segments"] if masked else None


def _bytes(task: Task, name: str) -> bytes:
    path = task.root / name
    if not path.is_file():
        raise TaskError(f"{task.table}: '{name}' is not in {task.root}")
    return path.read_bytes()
