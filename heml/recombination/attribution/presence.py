"""Attributes that *are* the presence of a segment: eyeglasses, hats, earrings.

Read off the segments alone, so no score is needed and rare values are found too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

#: Least share of records whose segment is as expected of their value, in the mean over values and
#: for the worst value: of a rare value, a few mistaken records are a large share.
AGREEMENT, WORST_AGREEMENT = 0.9, 0.75
#: Shares of the image above which a segment may count as there: annotators of an attribute overlook
#: or leave out what is tiny.
LEAST_AREAS = (0.0, 0.0002, 0.0005, 0.001, 0.002, 0.005)
#: Fewer records of a value than this can agree by chance.
LEAST_RECORDS = 5


@dataclass(frozen=True)
class Presence:
    """How a segment's presence encodes an attribute.

    Parameters
    ----------
    leaf : str
    present : dict of str to bool
        Value → whether records with it have the leaf.
    agreement : float
        Share of records that are as expected, in the mean over values, in [0, 1].
    least_area : float, default 0
        Share of the image that the leaf must exceed to count as there.
    """

    leaf: str
    present: dict[str, bool]
    agreement: float
    least_area: float = 0.0


def find_presence(
    values: np.ndarray, strata: np.ndarray, areas: Mapping[str, np.ndarray]
) -> tuple[Presence, ...]:
    """Leaves whose presence encodes an attribute's values, the best first.

    Parameters
    ----------
    values : object array (N,)
        The attribute; None where missing.
    strata : array (N,)
        What the attribute may be confounded with (the label, for an attribute). Agreement is the
        mean over strata: a leaf that is there because of the label is absent in conflicting
        records.
    areas : mapping of str to float array (N,)
        Leaf → share of each image that it fills, 0 where it is absent.

    Returns
    -------
    tuple of Presence
        The fewest that distinguish all values that presences distinguish; empty if no leaf agrees.
    """
    known = np.array([value is not None for value in values], bool)
    names = sorted({str(value) for value in values[known]})
    text = np.array([str(value) for value in values])
    if len(names) < 2 or any((known & (text == name)).sum() < LEAST_RECORDS for name in names):
        return ()
    parts = {
        name: [np.flatnonzero(known & (text == name) & (strata == s)) for s in np.unique(strata)]
        for name in names
    }
    found = []
    for leaf, area in areas.items():
        rules = [_rule(leaf, area > least, least, parts) for least in LEAST_AREAS]
        best = max(rules, key=lambda rule: (rule.agreement, -rule.least_area))
        if best.agreement >= AGREEMENT:
            found.append(best)
    found.sort(key=lambda p: (-p.agreement, p.leaf))
    chosen: list[Presence] = []
    distinguished: set[tuple[str, str]] = set()
    for candidate in found:
        pairs = {
            pair
            for pair in combinations(names, 2)
            if candidate.present[pair[0]] != candidate.present[pair[1]]
        }
        if pairs - distinguished:
            chosen.append(candidate)
            distinguished |= pairs
    return tuple(chosen)


def _rule(
    leaf: str, has: np.ndarray, least: float, parts: Mapping[str, list[np.ndarray]]
) -> Presence:
    """How a leaf's presence goes with the values; agreement 0 if it distinguishes none."""
    shares = {
        name: float(np.mean([has[rows].mean() for rows in strata if len(rows)]))
        for name, strata in parts.items()
    }
    present = {name: share >= 0.5 for name, share in shares.items()}
    right = [share if present[name] else 1 - share for name, share in shares.items()]
    distinct = len(set(present.values())) == 2 and min(right) >= WORST_AGREEMENT
    return Presence(leaf, present, float(np.mean(right)) if distinct else 0.0, least)
