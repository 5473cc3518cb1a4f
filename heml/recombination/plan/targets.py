"""How many records each group is to have, before any budget."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from heml.recombination.plan.quotas import quota_targets
from heml.recombination.rebalance_settings import Quotas


def group_targets(
    groups: pd.DataFrame, target: Literal["equal", "independent"] | Quotas
) -> np.ndarray:
    """Targets of all groups.

    Real records are never removed, so every target is reached from below.

    Parameters
    ----------
    groups : DataFrame
        Columns label, attributes and n; every combination once, empty ones included.
    target : str or Quotas
        equal: as many as the largest group has. independent: the smallest counts at which label
        and attributes are independent and no group has to shrink; the shares of the labels, and of
        the combinations of attributes, stay what they are.

    Returns
    -------
    int array (groups,)
    """
    n = groups["n"].to_numpy(float)
    if not len(n):
        return np.zeros(0, int)
    if target == "equal":
        wanted = np.full(len(n), n.max())
    elif target == "independent":
        wanted = _independent(groups, n)
    else:
        assert isinstance(target, Quotas)
        wanted = quota_targets(groups, target)
    # Whole records; what a product of shares misses by rounding is no record.
    return np.ceil(wanted - 1e-6).astype(int)


def _independent(groups: pd.DataFrame, n: np.ndarray) -> np.ndarray:
    if n.sum() == 0:
        return n
    combination = groups["attributes"].map(tuple)
    expected = (
        groups.groupby("label")["n"].transform("sum").to_numpy(float)
        * groups.groupby(combination)["n"].transform("sum").to_numpy(float)
        / n.sum()
    )
    possible = expected > 0
    return expected * (n[possible] / expected[possible]).max()
