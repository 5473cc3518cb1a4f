"""The train split as planning sees it: labels and attribute values as text, by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from heml.images.groups import MISSING


def texts(column: pd.Series) -> np.ndarray:
    """Values as text, None where missing: object array (N,)."""
    unknown = column.isna() | column.astype(str).isin(["", MISSING])
    return np.array(
        [None if none else str(value) for value, none in zip(column, unknown, strict=True)],
        dtype=object,
    )


@dataclass(frozen=True)
class TrainSplit:
    """Records that can be hosts and donors.

    Parameters
    ----------
    image_ids : list of str
    label_name : str
        What the label is called in the input.
    labels : object array (N,)
    attributes : tuple of str
    values : object array (N, attributes)
        None where missing.
    """

    image_ids: list[str]
    label_name: str
    labels: np.ndarray
    attributes: tuple[str, ...]
    values: np.ndarray

    @classmethod
    def of(cls, train: pd.DataFrame, label_name: str, attributes: Sequence[str]) -> TrainSplit:
        """From columns image_id, label and the attributes; missing values null or empty."""
        values = np.stack([texts(train[attribute]) for attribute in attributes], axis=1)
        ids = train["image_id"].tolist()
        return cls(ids, label_name, texts(train["label"]), tuple(attributes), values)

    def __len__(self) -> int:
        return len(self.image_ids)

    @cached_property
    def known(self) -> np.ndarray:
        """Which attribute values are known, bool array (N, attributes)."""
        known = [[value is not None for value in row] for row in self.values]
        return np.array(known, bool).reshape(len(self), len(self.attributes))

    @cached_property
    def grouped(self) -> np.ndarray:
        """Records with a value of every attribute, bool array (N,): others belong to no group."""
        grouped: np.ndarray = np.all(self.known, axis=1)
        return grouped

    def members(self, label: str, values: Sequence[str]) -> np.ndarray:
        """Rows of a group, int array."""
        same = (self.values == np.array(list(values), object)).all(axis=1)
        return np.flatnonzero((self.labels == label) & same)
