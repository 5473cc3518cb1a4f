"""Which images metrics learn from and are measured on, and their cross-fitting folds.

All of them, or a fixed sample that the recipe sizes. A source that grows keeps what it had: an
image never changes its fold while networks that were trained without it are in use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from heml.metrics.folds import assign_folds

#: Of a group, at least so many train images are in the sample: scarce groups tell what is biased.
_LEAST_PER_GROUP = 24


@dataclass(frozen=True)
class EarlierSample:
    """The sample of an earlier state of the dataset.

    Parameters
    ----------
    fold : dict of str to int
        Image id → fold, -1 outside the train split.
    seen : set of str
        Ids of all images that there were, in the sample or not.
    """

    fold: dict[str, int]
    seen: set[str]


@dataclass(frozen=True)
class Sample:
    """The images that metrics are about.

    Parameters
    ----------
    measured : bool array (N,)
        Rows of the image index that are in the sample.
    fold : int8 array (N,)
        -1 outside the train split and outside the sample.
    """

    measured: np.ndarray
    fold: np.ndarray


def draw_sample(
    index: pd.DataFrame,
    strata: np.ndarray,
    folds: int,
    seed: int,
    most: int | None = None,
    earlier: EarlierSample | None = None,
) -> Sample:
    """The sample of a dataset, the same for the same images.

    Parameters
    ----------
    index : DataFrame
        Columns image_id and split.
    strata : array of str (N,)
        Group of each image: every group is spread over the folds, and has its share of the sample.
    folds, seed : int
    most : int, optional
        Images of each split in the sample, about: scarce groups have more than their share.
    earlier : EarlierSample, optional
        What was measured before stays measured, in its fold.
    """
    ids, splits = index["image_id"].to_numpy(object), index["split"].to_numpy(str)
    measured = np.ones(len(index), bool)
    if most is not None:
        for split in np.unique(splits):
            rows = np.flatnonzero(splits == split)
            measured[rows] = _chosen(ids[rows], strata[rows], most, seed)
    before = np.zeros(len(index), bool)
    if earlier is not None:
        before = np.array([i in earlier.fold for i in ids], bool)
        new = np.array([i not in earlier.seen for i in ids], bool)
        measured = before | (measured & new)
    fold = np.full(len(index), -1, np.int8)
    train = measured & (splits == "train")
    if earlier is None:
        fold[train] = assign_folds(strata[train].tolist(), folds, seed)
        return Sample(measured, fold)
    old = train & before
    fold[old] = [earlier.fold[i] for i in ids[old]]
    _fill(fold, np.flatnonzero(train & ~before), ids, strata, folds, seed)
    return Sample(measured, fold)


def _chosen(ids: np.ndarray, strata: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Which images of a split are in the sample: of each group those whose ids hash lowest."""
    chosen = np.zeros(len(ids), bool)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        share = round(most * len(rows) / len(ids))
        wanted = len(rows) if most >= len(ids) else max(share, min(_LEAST_PER_GROUP, len(rows)))
        chosen[_ranked(rows, ids, seed)[:wanted]] = True
    return chosen


def _ranked(rows: np.ndarray, ids: np.ndarray, seed: int) -> list[int]:
    """Rows in a random order of their ids that other images do not change."""

    def place(row: int) -> bytes:
        return hashlib.sha256(f"{seed}\x1f{ids[row]}".encode()).digest()

    return sorted(rows.tolist(), key=place)


def _fill(
    fold: np.ndarray,
    rows: np.ndarray,
    ids: np.ndarray,
    strata: np.ndarray,
    folds: int,
    seed: int,
) -> None:
    """Gives new rows the fold that has fewest of their stratum, and of all among such."""
    every = np.bincount(fold[fold >= 0], minlength=folds)
    counts: dict[str, np.ndarray] = {}
    for stratum in np.unique(strata[rows]):
        own = fold[(strata == stratum) & (fold >= 0)]
        counts[stratum] = np.bincount(own, minlength=folds)
    for row in _ranked(rows, ids, seed):
        own = counts[strata[row]]
        fold[row] = np.lexsort([every, own])[0]
        own[fold[row]] += 1
        every[fold[row]] += 1


def strata_of(index: pd.DataFrame, attributes: Sequence[str]) -> np.ndarray:
    """Label and attributes of every image as one text, array of str (N,)."""
    rows = index[["label", *attributes]].astype(str).to_numpy()
    return np.array(["\x1f".join(row) for row in rows], object)
