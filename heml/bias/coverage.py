"""Coverage: how many train records every group has, against independence of label and attributes.
Coverage: how many train records every group has, against independence of label and attributes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from heml.bias import tables
from heml.images.groups import MISSING, group_name, known_attributes


def coverage(
    train: pd.DataFrame,
    label_name: str,
    attributes: Sequence[str],
    resamples: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Counts of all groups (label × every combination of attribute values), empty ones included.

    Parameters
    ----------
    train : DataFrame
        Columns label and the attributes. Records with a missing attribute value belong to no group.
    label_name : str
        What the label is called in the input.
    resamples : int, default 500
        For the intervals of the representation ratios.
    seed : int, default 0

    Returns
    -------
    DataFrame
        As the `coverage` contract says.
    """
    labels = sorted(train["label"].unique())
    train = train[known_attributes(train, attributes)]
    combinations = list(product(*(sorted(train[attribute].unique()) for attribute in attributes)))
    counts = Counter(
        zip(train["label"], *(train[attribute] for attribute in attributes), strict=True)
    )
    table = np.array(
        [[counts[label, *values] for values in combinations] for label in labels], int
    ).reshape(len(labels), len(combinations))
    total = max(len(train), 1)
    expected = tables.independent(table) * total
    ratios = _ratios(table)
    rng = np.random.default_rng(seed)
    low, high = tables.interval(_ratios(tables.resampled_tables(table, resamples, rng)), ratios)
    share_low, share_high = proportion_confint(table, total, method="wilson")
    rows = [
        {
            "group": group_name(label_name, label, attributes, values),
            "label": label,
            "attributes": list(values),
            "n": int(table[i, j]),
            "share": table[i, j] / total,
            "share_low": float(share_low[i, j]),
            "share_high": float(share_high[i, j]),
            **_ratio_columns(ratios[i, j], low[i, j], high[i, j]),
            "aligned": bool(table[i, j] > expected[i, j]),
        }
        for i, label in enumerate(labels)
        for j, values in enumerate(combinations)
    ]
    # Named types, because without any group there are no values to take them from.
    return pd.DataFrame(rows, columns=_COLUMNS).astype(
        {"n": np.int64, "share": float, "aligned": bool}
    )


_COLUMNS = [
    "group", "label", "attributes", "n", "share", "share_low", "share_high", "representation_ratio",
    "representation_ratio_low", "representation_ratio_high", "aligned",
]  # fmt: skip


def _ratios(counts: np.ndarray) -> np.ndarray:
    total = counts.sum((-2, -1), keepdims=True)
    expected = tables.independent(counts) * total
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, counts / expected, np.nan)


def _ratio_columns(value: float, low: float, high: float) -> dict[str, float | None]:
    names = [f"representation_ratio{end}" for end in ("", "_low", "_high")]
    known = not np.isnan(value)
    return {n: float(v) if known else None for n, v in zip(names, (value, low, high), strict=True)}


def aligned_values(labels: np.ndarray, values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Whether each record's attribute value is one its label comes with more often than by chance.

    Parameters
    ----------
    labels, values : arrays (N,)
        Label and attribute value of every record; a value of `MISSING` is never aligned.
    train : bool array (N,)
        Records on which chance is measured.

    Returns
    -------
    bool array (N,)
    """
    rows, row = np.unique(labels.astype(str), return_inverse=True)
    columns, column = np.unique(values.astype(str), return_inverse=True)
    known = values != MISSING
    table = np.zeros((len(rows), len(columns)), int)
    np.add.at(table, (row[train & known], column[train & known]), 1)
    above = table > tables.independent(table) * table.sum()
    return above[row, column] & known
