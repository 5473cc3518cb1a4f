"""Coverage: how many train records every cell has, against independence of label and groups."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd


def cell_name(label_name: str, label: str, groups: Sequence[str], values: Sequence[str]) -> str:
    """A cell in words, as every table, figure and message spells it."""
    pairs = zip((label_name, *groups), (label, *values), strict=True)
    return " · ".join(f"{name}={value}" for name, value in pairs)


def coverage(train: pd.DataFrame, label_name: str, groups: Sequence[str]) -> pd.DataFrame:
    """Counts of all cells (label × every combination of group values), empty ones included.

    Parameters
    ----------
    train : DataFrame
        Columns label and the groups.
    label_name : str
        What the label is called in the input.

    Returns
    -------
    DataFrame
        As the `coverage` contract says.
    """
    labels = sorted(train["label"].unique())
    combinations = list(product(*(sorted(train[group].unique()) for group in groups)))
    counts = train.groupby(["label", *groups]).size().to_dict()
    per_label = train["label"].value_counts().to_dict()
    table = np.array(
        [[counts.get((label, *values), 0) for values in combinations] for label in labels]
    )
    per_combination = table.sum(axis=0)
    rows = []
    for i, label in enumerate(labels):
        for j, values in enumerate(combinations):
            expected = per_label[label] * per_combination[j] / len(train)
            n = int(table[i, j])
            rows.append(
                {
                    "cell": cell_name(label_name, label, groups, values),
                    "label": label,
                    "groups": list(values),
                    "n": n,
                    "share": n / len(train),
                    "representation_ratio": n / expected if expected else None,
                    "aligned": bool(n > expected),
                }
            )
    return pd.DataFrame(rows)


def aligned_records(records: pd.DataFrame, train: pd.DataFrame, group: str) -> np.ndarray:
    """Whether each record's group value is one its label comes with more often than by chance.

    Parameters
    ----------
    records, train : DataFrame
        Columns label and `group`; chance is measured on `train`.

    Returns
    -------
    bool array (N,)
    """
    cells = coverage(train, "label", [group])
    cells = cells[cells["aligned"]]
    aligned = set(zip(cells["label"], cells["groups"].str[0], strict=True))
    return np.array(
        [key in aligned for key in zip(records["label"], records[group], strict=True)], dtype=bool
    )
