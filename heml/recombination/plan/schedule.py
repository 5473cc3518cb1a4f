"""In which order kinds of edit take turns, so that no part of a group's edits is of one kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from heml.recombination.operator import OPERATORS
from heml.recombination.plan.candidates import EditCandidate

#: Length of the cycle in which kinds of edit come in proportion.
CYCLE = 24

#: Operator and nodes.
Kind = tuple[str, tuple[str, ...]]


def alternating(candidates: Sequence[EditCandidate]) -> list[EditCandidate]:
    """One cycle of candidates: directions alternate, and operators that bring texture and shape
    come twice as often as those that bring color alone."""
    directions: dict[str, list[EditCandidate]] = {}
    for candidate in candidates:
        times = 1 + OPERATORS[candidate.operator].moves_pixels
        directions.setdefault(candidate.direction, []).extend([candidate] * times)
    longest = max((len(own) for own in directions.values()), default=0)
    return [own[place % len(own)] for place in range(longest) for own in directions.values()]


def in_proportion(counts: Counter[Kind]) -> list[Kind]:
    """One cycle in which each kind comes about as often as it is counted, evenly spread, and at
    least once."""
    shares = {kind: count / max(counts.total(), 1) for kind, count in counts.items()}
    places = [
        ((number + 0.5) / times, -share, kind)
        for kind, share in shares.items()
        for times in [max(round(share * CYCLE), 1)]
        for number in range(times)
    ]
    return [kind for *_, kind in sorted(places)]


def kinds_by_attribute(
    needed: Iterable[tuple[tuple[str, ...], Sequence[EditCandidate]]],
) -> dict[tuple[str, ...], Counter[Kind]]:
    """How often each kind of edit balances the groups of each combination of attribute values.

    Parameters
    ----------
    needed : iterable of (tuple of str, sequence of EditCandidate)
        Attribute values of a group and the candidates of the edits that it needs, spares left out.
    """
    found: dict[tuple[str, ...], Counter[Kind]] = {}
    for attributes, candidates in needed:
        kinds = Counter(candidate.kind for candidate in candidates)
        if kinds:
            found[attributes] = found.get(attributes, Counter()) + kinds
    return found
