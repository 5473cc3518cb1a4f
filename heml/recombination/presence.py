"""Attributes that *are* the presence of a segment: eyeglasses, hats, earrings.

Read off the segments alone, so no score is needed and rare values are found too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

#: Least share of records, in the mean of the strata of any value, whose segment is as expected.
AGREEMENT = 0.9
#: Fewer records of a value than this can agree by chance.
LEAST_RECORDS = 5


@dataclass(frozen=True)
class Presence:
    """What a segment's presence says of an attribute.

    Parameters
    ----------
    leaf : str
    present : dict of str to bool
        Value → whether records with it have the leaf.
    agreement : float
        Least share over values of records that are as expected, in [0, 1].
    """

    leaf: str
    present: dict[str, bool]
    agreement: float


def find_presence(
    values: np.ndarray, strata: np.ndarray, present: Mapping[str, np.ndarray]
) -> tuple[Presence, ...]:
    """Leaves whose presence tells an attribute's values, the best first.

    Parameters
    ----------
    values : object array (N,)
        The attribute; None where missing.
    strata : array (N,)
        What the attribute may be confounded with (the label, for a group). Agreement is the mean
        over strata: a leaf that is there because of the label is absent in conflicting records.
    present : mapping of str to bool array (N,)
        Leaf → whether each record has it.

    Returns
    -------
    tuple of Presence
        As few as tell all values apart that presences tell apart; empty if no leaf agrees.
    """
    known = np.array([value is not None for value in values], bool)
    names = sorted({str(value) for value in values[known]})
    text = np.array([str(value) for value in values])
    if len(names) < 2 or any((known & (text == name)).sum() < LEAST_RECORDS for name in names):
        return ()
    found = []
    for leaf, has in present.items():
        rule: dict[str, bool] = {}
        least = 1.0
        for name in names:
            own = known & (text == name)
            shares = [has[own & (strata == s)].mean() for s in np.unique(strata[own])]
            share = float(np.mean(shares))
            rule[name] = share >= 0.5
            least = min(least, share if rule[name] else 1 - share)
        if len(set(rule.values())) == 2 and least >= AGREEMENT:
            found.append(Presence(leaf, rule, least))
    found.sort(key=lambda p: (-p.agreement, p.leaf))
    chosen: list[Presence] = []
    told: set[tuple[str, str]] = set()
    for candidate in found:
        tells = {
            pair
            for pair in combinations(names, 2)
            if candidate.present[pair[0]] != candidate.present[pair[1]]
        }
        if tells - told:
            chosen.append(candidate)
            told |= tells
    return tuple(chosen)
