"""95% intervals of measures of association by inverting tests.

A measure that cannot be negative and is estimated too high, such as a divergence, has a bootstrap
distribution that lies above its true value: near independence a percentile interval never holds 0.
Here every strength of association on a path of tables, from no association through the observed
table and beyond, is tested by a parametric bootstrap, and the interval holds the strengths that the
observed value does not reject (Garthwaite & Buckland, J. R. Stat. Soc. C 41, 1992).
`benchmarks/interval_coverage.py` measures how often such an interval holds the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

Statistic = Callable[[np.ndarray], np.ndarray]

#: Share of draws in each tail beyond which a strength is rejected.
_TAIL = 0.025
#: Tables of a path before a cell is empty; behind it there are half as many.
_STRENGTHS = 31
#: Stands for infinitely many records: a corrected measure has no correction left.
_POPULATION = 1e9


@dataclass(frozen=True)
class Path:
    """Tables of rising strength of association.

    Parameters
    ----------
    shares : float array (S, R, C)
        Of the cells; each table sums to 1. The first has no association.
    """

    shares: np.ndarray


def from_independence(table: np.ndarray) -> Path:
    """Tables from independence through the observed one to complete association.

    Parameters
    ----------
    table : int array (R, C)
        Counts, not all 0. All tables have its margins.
    """
    observed = table / table.sum()
    independent = np.outer(observed.sum(1), observed.sum(0))
    return _path(independent, observed, _complete_association)


def from_equal_shares(table: np.ndarray) -> Path:
    """Tables from equal shares of all cells through the observed one to a single cell.

    Parameters
    ----------
    table : int array (R, C)
        Counts, not all 0.
    """
    return _path(np.full(table.shape, 1 / table.size), table / table.sum(), _single_cell)


def _path(
    origin: np.ndarray,
    observed: np.ndarray,
    extreme: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Path:
    direction = observed - origin
    falling = direction < -1e-12
    # As far as no cell has fewer than no records.
    most = float((origin[falling] / -direction[falling]).min()) if falling.any() else 0.0
    # Close to the origin a measure that is a square changes little.
    steps = most * np.linspace(0, 1, _STRENGTHS)[:, None, None] ** 0.75
    first = np.clip(origin + steps * direction, 0, None)
    # A cell that is empty here need not be the last to be so.
    end = extreme(first[-1], origin)
    further = np.linspace(0, 1, _STRENGTHS // 2)[1:, None, None]
    second = first[-1] + further * (end - first[-1])
    shares = np.concatenate([first, np.clip(second, 0, None)])
    return Path(shares / shares.sum((1, 2), keepdims=True))


def _complete_association(shares: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """All that the margins allow in the cells that are most above independence."""
    rows, columns = shares.sum(1), shares.sum(0)
    ratio = np.divide(shares, origin, where=origin > 0, out=np.zeros_like(shares))
    found = np.zeros_like(shares)
    for place in np.argsort(-ratio, axis=None, kind="stable"):
        row, column = np.unravel_index(place, shares.shape)
        found[row, column] = min(rows[row], columns[column])
        rows[row] -= found[row, column]
        columns[column] -= found[row, column]
    return found


def _single_cell(shares: np.ndarray, origin: np.ndarray) -> np.ndarray:
    found = np.zeros_like(shares)
    found.flat[np.argmax(shares)] = 1
    return found


def inverted_intervals(
    table: np.ndarray,
    path: Path,
    statistics: Mapping[str, tuple[Statistic, Statistic]],
    draws: int,
    rng: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """95% intervals of several statistics of one table.

    Parameters
    ----------
    table : int array (R, C)
    path : Path
        Tables that are tested against the observed one.
    statistics : mapping of str to (statistic, population)
        The statistic takes tables of counts (..., R, C), and rises along the path; population is
        its value for infinitely many records, from float tables of any sum.
    draws : int
        Tables drawn for each table of the path.

    Returns
    -------
    dict of str to (low, high)
        In units of the statistic.
    """
    size = len(path.shares)
    drawn = rng.multinomial(int(table.sum()), path.shares.reshape(size, 1, -1), (size, draws))
    drawn = drawn.reshape(size, draws, *table.shape)
    return {
        name: _inverted(
            float(statistic(table)), statistic(drawn), population(path.shares * _POPULATION)
        )
        for name, (statistic, population) in statistics.items()
    }


def signed_interval(
    observed: float, drawn: np.ndarray, population: np.ndarray
) -> tuple[float, float]:
    """95% interval of a statistic that rises along a path on which no end is special.

    Parameters
    ----------
    observed : float
    drawn : float array (S, B)
        The statistic of tables drawn at each strength.
    population : float array (S,)
        Its values for infinitely many records.
    """
    low, high = _inverted(observed, drawn, population)
    if float((drawn[0] >= observed - 1e-12).mean()) > _TAIL:
        # The path begins where the observed margins allow no less; others may.
        low = min(low, float(np.quantile(drawn[0], _TAIL)))
    return low, high


def _inverted(observed: float, drawn: np.ndarray, population: np.ndarray) -> tuple[float, float]:
    """Interval of one statistic from its draws, float (S, B), and population values, float (S,)."""
    count = drawn.shape[1]
    # One more draw than there are: the observed value itself.
    reached = (1 + (drawn >= observed - 1e-12).sum(1)) / (1 + count)
    undershot = (1 + (drawn <= observed + 1e-12).sum(1)) / (1 + count)
    # Tails are monotone in the strength; what is not is noise of the draws.
    strengths = np.arange(len(population), dtype=float)
    reached = IsotonicRegression(increasing=True).fit_transform(strengths, reached)
    undershot = IsotonicRegression(increasing=False).fit_transform(strengths, undershot)
    low = _crossing(reached, population)
    high = _crossing(undershot[::-1], population[::-1])
    if undershot[-1] > _TAIL:
        # The path ends where the observed margins allow no more; others may.
        high = max(high, float(np.quantile(drawn[-1], 1 - _TAIL)))
    return low, max(low, high)


def _crossing(tail: np.ndarray, population: np.ndarray) -> float:
    """Population value at which a rising tail passes the level of the test."""
    above = np.flatnonzero(tail > _TAIL)
    if not len(above):
        return float(population[-1])
    first = int(above[0])
    if first == 0:
        return float(population[0])
    share = (_TAIL - tail[first - 1]) / (tail[first] - tail[first - 1])
    return float(population[first - 1] + share * (population[first] - population[first - 1]))
