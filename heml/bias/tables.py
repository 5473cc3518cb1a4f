"""Statistics of label × attribute tables, for one table or many at a time.

Tables are arrays (..., R, C) of counts, label values in rows, attribute values in columns;
statistics are float arrays (...). Many at a time, because intervals and tests need thousands.
"""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr, xlogy
from scipy.stats import random_table


def cramers_v(tables: np.ndarray) -> np.ndarray:
    """Bias-corrected Cramér's V (Bergsma, J. Korean Stat. Soc. 42, 2013).

    Returns
    -------
    float array (...)
        In [0, 1]; 0 for independence and for tables with a single row or column in use.
    """
    n = tables.sum((-2, -1)).astype(float)
    rows, columns = tables.sum(-1, dtype=float), tables.sum(-2, dtype=float)
    used_rows, used_columns = (rows > 0).sum(-1), (columns > 0).sum(-1)
    expected = rows[..., :, None] * columns[..., None, :]
    # chi² / n = Σ O² / (row · column) - 1 over cells whose margins are not empty.
    share = np.divide(tables.astype(float) ** 2, expected, where=expected > 0,
                      out=np.zeros(tables.shape))  # fmt: skip
    phi2 = share.sum((-2, -1)) - 1
    rest = np.maximum(n - 1, 1)
    phi2 = np.maximum(phi2 - (used_rows - 1) * (used_columns - 1) / rest, 0)
    most = np.minimum(
        used_rows - (used_rows - 1) ** 2 / rest, used_columns - (used_columns - 1) ** 2 / rest
    )
    usable = (np.minimum(used_rows, used_columns) > 1) & (most > 1)
    return np.where(usable, np.minimum(np.sqrt(phi2 / np.where(usable, most - 1, 1)), 1), 0.0)


def mutual_information(tables: np.ndarray) -> np.ndarray:
    """Mutual information of rows and columns in nats."""
    return divergences(tables, independent(tables))["kl"]


def entropies(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entropy of rows and of columns in nats."""
    n = np.maximum(tables.sum((-2, -1), dtype=float), 1)[..., None]
    rows, columns = tables.sum(-1) / n, tables.sum(-2) / n
    return -xlogy(rows, rows).sum(-1), -xlogy(columns, columns).sum(-1)


def normalized_mutual_information(tables: np.ndarray) -> np.ndarray:
    """Mutual information over the mean of both entropies, as scikit-learn's; 0 without entropy."""
    mean = sum(entropies(tables)) / 2
    information = mutual_information(tables)
    ratio = np.divide(information, mean, where=mean > 0, out=np.zeros_like(information))
    return np.clip(ratio, 0, 1)


def pointwise(tables: np.ndarray) -> np.ndarray:
    """Normalized pointwise mutual information of every cell (Bouma, GSCL 2009).

    Returns
    -------
    float array (..., R, C)
        In [-1, 1]: -1 for an empty cell of used margins, 0 for independence, 1 for a label and a
        attribute value that occur only together; NaN where a margin is empty; 0 in a table of one
        cell.
    """
    total = np.maximum(tables.sum((-2, -1), dtype=float), 1)[..., None, None]
    joint = tables / total
    expected = independent(tables)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(joint / expected) / -np.log(joint)
    value = np.where(joint == 0, -1.0, value)
    value = np.where(joint == 1, 0.0, value)
    return np.where(expected > 0, np.clip(value, -1, 1), np.nan)


def independent(tables: np.ndarray) -> np.ndarray:
    """Shares that the cells would have if rows and columns were independent."""
    total = np.maximum(tables.sum((-2, -1), dtype=float), 1)[..., None, None]
    return tables.sum(-1)[..., :, None] / total * (tables.sum(-2)[..., None, :] / total)


def equal(tables: np.ndarray) -> np.ndarray:
    """Equal shares of all cells."""
    return np.full(tables.shape, 1 / (tables.shape[-2] * tables.shape[-1]))


def divergences(tables: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """How far the cells' shares are from a target distribution.

    Parameters
    ----------
    target : float array (..., R, C)
        Shares; not 0 where a cell has records.

    Returns
    -------
    dict
        `kl`: Kullback-Leibler divergence of the shares from the target, nats. `js`:
        Jensen-Shannon divergence, nats, at most ln 2. `tv`: total variation distance, in [0, 1].
    """
    shares = tables / np.maximum(tables.sum((-2, -1), dtype=float), 1)[..., None, None]
    middle = (shares + target) / 2
    halves = rel_entr(shares, middle) + rel_entr(target, middle)
    return {
        "kl": np.maximum(rel_entr(shares, target).sum((-2, -1)), 0),
        "js": np.maximum(halves.sum((-2, -1)) / 2, 0),
        "tv": np.abs(shares - target).sum((-2, -1)) / 2,
    }


def class_imbalance(tables: np.ndarray) -> np.ndarray:
    """Class imbalance of every attribute value against the rest, in [-1, 1].

    `(rest - own) / n`, as Amazon SageMaker Clarify's CI with the value as the disadvantaged facet:
    1 - 2 × its share, 0 for half of the records.

    Returns
    -------
    float array (..., C)
    """
    n = np.maximum(tables.sum((-2, -1), dtype=float), 1)[..., None]
    return 1 - 2 * tables.sum(-2) / n


def label_differences(tables: np.ndarray) -> np.ndarray:
    """Difference in proportions of labels of every cell, one against the rest, in [-1, 1].

    Share of the label among records of other attributes less its share among the attribute's own,
    as Amazon SageMaker Clarify's DPL with the attribute value as the disadvantaged facet.

    Returns
    -------
    float array (..., R, C)
        NaN where the attribute value or its rest has no records.
    """
    own = tables.sum(-2, keepdims=True).astype(float)
    rows = tables.sum(-1, keepdims=True)
    rest = rows.sum(-2, keepdims=True) - own
    with np.errstate(divide="ignore", invalid="ignore"):
        return (rows - tables) / rest - tables / own


def resampled_tables(table: np.ndarray, times: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap resamples of the records behind a table, int array (times, R, C)."""
    n = int(table.sum())
    if n == 0:
        return np.zeros((times, *table.shape), int)
    return rng.multinomial(n, (table / n).ravel(), size=times).reshape(times, *table.shape)


def permuted_tables(table: np.ndarray, times: int, rng: np.random.Generator) -> np.ndarray:
    """Tables after shuffling the attribute among all records, int array (times, R, C)."""
    if table.sum() == 0 or min(table.shape) < 2:
        return np.tile(table, (times, 1, 1))  # nothing to shuffle
    margins = table.sum(1), table.sum(0)
    return np.asarray(random_table(*margins, seed=rng).rvs(size=times, random_state=rng)).astype(
        int
    )


def p_value(observed: np.ndarray | float, null: np.ndarray) -> np.ndarray:
    """Share of null draws, and the observation itself, that reach the observation.

    Parameters
    ----------
    observed : float array (...)
    null : float array (T, ...)

    Returns
    -------
    float array (...)
        Never 0 (Phipson & Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010).
    """
    reached = (null >= np.asarray(observed) - 1e-12).sum(axis=0)
    return (1 + reached) / (1 + len(null))


def interval(draws: np.ndarray, value: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """95% percentile interval of bootstrap draws (T, ...), widened to hold the value itself.

    Draws that are NaN (a value that a resample does not have) are left out.
    """
    usable = ~np.isnan(draws).all(axis=0)
    filled = np.where(usable, draws, 0.0)
    low, high = np.nanquantile(filled, [0.025, 0.975], axis=0)
    low, high = np.where(usable, low, value), np.where(usable, high, value)
    return np.minimum(low, value), np.maximum(high, value)
