"""95% intervals of measures of a single attribute value or group: they may have either sign.

Shares and differences of shares have score intervals in closed form. Where a measure is bent, such
as nPMI, whose estimate is -1 for every empty group, tests are inverted as for measures of a whole
attribute. `benchmarks/interval_coverage.py` measures how often each holds the truth.
"""

from __future__ import annotations

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from heml.bias import tables
from heml.bias.inverted_interval import signed_interval

#: Lower and upper ends, each of the statistic's shape; NaN where it is undefined.
Ends = tuple[np.ndarray, np.ndarray]

#: Tables on a path around the observed one, and how far it reaches in standard errors.
_STRENGTHS, _REACH = 31, 5.0
_POPULATION = 1e9


def class_imbalance_interval(table: np.ndarray, draws: int, rng: np.random.Generator) -> Ends:
    """Of `tables.class_imbalance`: 1 less twice a share, which has a Wilson interval.

    Parameters
    ----------
    table : int array (R, C)
        Counts, not all 0.
    draws, rng
        Not used.

    Returns
    -------
    low, high : float array (C,)
    """
    low, high = _wilson(table.sum(0), np.broadcast_to(table.sum(), table.shape[1:]))
    return 1 - 2 * high, 1 - 2 * low


def label_difference_interval(table: np.ndarray, draws: int, rng: np.random.Generator) -> Ends:
    """Of `tables.label_differences`: of two independent shares, from their Wilson intervals
    (Newcombe, Stat. Med. 17, 1998, method 10).

    Parameters
    ----------
    table : int array (R, C)
        Counts, not all 0.
    draws, rng
        Not used.

    Returns
    -------
    low, high : float array (R, C)
    """
    n_own = np.broadcast_to(table.sum(0), table.shape)
    n_rest = table.sum() - n_own
    in_rest = table.sum(1, keepdims=True) - table
    own_low, own_high = _wilson(table, n_own)
    rest_low, rest_high = _wilson(in_rest, n_rest)
    with np.errstate(divide="ignore", invalid="ignore"):
        own, rest = table / n_own, in_rest / n_rest
    difference = rest - own
    low = difference - np.hypot(rest - rest_low, own_high - own)
    high = difference + np.hypot(rest_high - rest, own - own_low)
    return low, high


def npmi_interval(table: np.ndarray, draws: int, rng: np.random.Generator) -> Ends:
    """Of `tables.pointwise`, by inverting tests: of tables with the observed margins, those are
    held whose nPMI the observed one does not reject.

    Parameters
    ----------
    table : int array (R, C)
        Counts, not all 0.
    draws : int
        Tables drawn for each table that is tested.
    rng : numpy Generator

    Returns
    -------
    low, high : float array (R, C)
    """
    low, high = np.full(table.shape, np.nan), np.full(table.shape, np.nan)
    n = int(table.sum())
    for place in np.ndindex(*table.shape):
        cell, row, column = (
            int(part.sum()) for part in (table[place], table[place[0]], table[:, place[1]])
        )
        if row and column:
            against = np.array([[cell, row - cell], [column - cell, n - row - column + cell]])
            low[place], high[place] = _npmi_interval(against, draws, rng)
    return low, high


def _npmi_interval(table: np.ndarray, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    """Of a group against the rest, int table (2, 2): the group is its first cell."""
    n, path = int(table.sum()), _path(table)
    drawn = rng.multinomial(n, path.reshape(len(path), 1, 4), (len(path), draws))
    # A drawn table without the label or the value has no nPMI; it is as far below as can be.
    values = np.nan_to_num(tables.pointwise(drawn.reshape(-1, 2, 2))[:, 0, 0], nan=-1.0)
    return signed_interval(
        float(tables.pointwise(table)[0, 0]),
        values.reshape(len(path), draws),
        tables.pointwise(path * _POPULATION)[:, 0, 0],
    )


def _path(table: np.ndarray) -> np.ndarray:
    """Shares (S, 2, 2) with the margins of a table: the first cell's share rises around the
    observed one, as far as the margins allow.
    """
    n = table.sum()
    row, column, share = table[0].sum() / n, table[:, 0].sum() / n, table[0, 0] / n
    reach = _REACH * np.sqrt(share * (1 - share) / n) + 2 * _REACH / n
    lowest, highest = max(0.0, row + column - 1), min(row, column)
    first = np.linspace(max(lowest, share - reach), min(highest, share + reach), _STRENGTHS)
    path = np.array([[first, row - first], [column - first, 1 - row - column + first]])
    path = np.clip(path.transpose(2, 0, 1), 0, None)
    return path / path.sum((1, 2), keepdims=True)


def _wilson(counts: np.ndarray, n: np.ndarray) -> Ends:
    """Wilson intervals of shares; NaN where there are no records."""
    low, high = proportion_confint(counts, np.maximum(n, 1), method="wilson")
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)
