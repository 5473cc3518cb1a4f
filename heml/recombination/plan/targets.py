"""How many records each cell is to have, before any budget."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from heml.recombination.plan.quotas import quota_targets
from heml.recombination.rebalance_settings import Quotas


def cell_targets(
    cells: pd.DataFrame, target: Literal["equal", "independent"] | Quotas
) -> np.ndarray:
    """Targets of all cells.

    Real records are never removed, so every target is reached from below.

    Parameters
    ----------
    cells : DataFrame
        Columns label, groups and n; every combination once, empty ones included.
    target : str or Quotas
        equal: as many as the largest cell has. independent: the smallest counts at which label
        and groups are independent and no cell has to shrink; the shares of the labels, and of the
        combinations of groups, stay what they are.

    Returns
    -------
    int array (cells,)
    """
    n = cells["n"].to_numpy(float)
    if not len(n):
        return np.zeros(0, int)
    if target == "equal":
        wanted = np.full(len(n), n.max())
    elif target == "independent":
        wanted = _independent(cells, n)
    else:
        assert isinstance(target, Quotas)
        wanted = quota_targets(cells, target)
    # Whole records; what a product of shares misses by rounding is no record.
    return np.ceil(wanted - 1e-6).astype(int)


def _independent(cells: pd.DataFrame, n: np.ndarray) -> np.ndarray:
    if n.sum() == 0:
        return n
    combination = cells["groups"].map(tuple)
    expected = (
        cells.groupby("label")["n"].transform("sum").to_numpy(float)
        * cells.groupby(combination)["n"].transform("sum").to_numpy(float)
        / n.sum()
    )
    possible = expected > 0
    return expected * (n[possible] / expected[possible]).max()
