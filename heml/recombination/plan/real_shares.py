"""How much of a group's weight its real rows get: the same share for every label, as far as can be.

What is scarce is mostly recombined, what is common mostly real: among the images of one attribute
value, being real would tell the label.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

#: Label value, then attribute values.
Group = tuple[str, ...]
#: A real row counts at most this many times a recombined one of its group, and at least this part
#: of it.
MOST_APART = 8.0


def shares_of_real(
    real: Mapping[Group, int], recombined: Mapping[Group, int]
) -> dict[Group, float]:
    """Share of each group's weight that its real rows get, in [0, 1].

    Parameters
    ----------
    real, recombined : mapping of Group to int
        Train rows; groups with any of either are returned.
    """
    groups_of = defaultdict[Group, list[Group]](list)
    for group in dict.fromkeys([*real, *recombined]):
        if real.get(group, 0) + recombined.get(group, 0):
            groups_of[group[1:]].append(group)
    shares: dict[Group, float] = {}
    for groups in groups_of.values():
        own, made = ({c: n.get(c, 0) for c in groups} for n in (real, recombined))
        low = {c: own[c] / (own[c] + MOST_APART * made[c]) for c in groups}
        high = {c: MOST_APART * own[c] / (MOST_APART * own[c] + made[c]) for c in groups}
        natural = sum(own.values()) / (sum(own.values()) + sum(made.values()))
        common = min(max(natural, *low.values()), *high.values())
        shares |= {c: min(max(common, low[c]), high[c]) for c in groups}
    return shares
