"""Assigning hosts and donors to the edits of one group: no image gives more than its share.

Hosts and donors are drawn, which spreads edits over as many images as there are. A draw can use up
images that another candidate needed; where it stops short, a min-cost flow finds an assignment that
is as large as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from heml.recombination.plan.assignment_flow import cheapest_edits, most_edits
from heml.recombination.plan.candidates import EditCandidate
from heml.recombination.plan.layout import Layouts

#: Donors that are compared with a host, and how many of the best of them are drawn from.
COMPARED, NEAREST = 128, 8
#: Draws of a host before a candidate counts as used up.
ATTEMPTS = 8


class Assigned(NamedTuple):
    """A candidate with its host and donor, as rows of the train split, and a seed of its own."""

    candidate: EditCandidate
    host: int
    donor: int
    seed: int


class Assignment:
    """Hosts and donors: those used least, of similar pose, each within its share.

    Parameters
    ----------
    layouts : Layouts
        Of the train split.
    cap : int
        Most edits that one image may be host, or donor, of.
    rng : numpy.random.Generator
    """

    def __init__(self, layouts: Layouts, cap: int, rng: np.random.Generator) -> None:
        self.edits: list[Assigned] = []
        self._layouts = layouts
        self._cap = cap
        self._rng = rng
        self._as_host = np.zeros(len(layouts.image_ids), int)
        self._as_donor = np.zeros(len(layouts.image_ids), int)
        self._done: set[tuple[int, int, str, tuple[str, ...]]] = set()

    def fill(self, steps: Sequence[tuple[Sequence[EditCandidate], int]]) -> None:
        """Assigns edits in steps.

        Parameters
        ----------
        steps : sequence of (sequence of EditCandidate, int)
            Candidates, which take turns, and how many edits there should be after the step. There
            are fewer only where no assignment has more.
        """
        for cycle, total in steps:
            self._draw(cycle, total)
        total = max((total for _, total in steps), default=0)
        if len(self.edits) < total:
            candidates = list(dict.fromkeys(c for cycle, _ in steps for c in cycle))
            self._complete(candidates, steps, total)

    def _draw(self, cycle: Sequence[EditCandidate], total: int) -> None:
        left = list(cycle)
        while left and len(self.edits) < total:
            for candidate in list(left):
                if len(self.edits) >= total:
                    break
                if candidate in left and not self._one(candidate):
                    left = [other for other in left if other is not candidate]

    def _complete(
        self,
        candidates: Sequence[EditCandidate],
        steps: Sequence[tuple[Sequence[EditCandidate], int]],
        total: int,
    ) -> None:
        """Replaces the edits by the cheapest of the largest assignments, if that is larger."""
        if most_edits(candidates, self._cap, total, self._rng) <= len(self.edits):
            return
        pairs = cheapest_edits(candidates, self._cap, total, self._mismatch, self._rng)
        if len(pairs) <= len(self.edits):
            return
        self.edits = []
        left: dict[EditCandidate, list[int]] = {candidate: [] for candidate in candidates}
        for place in self._rng.permutation(len(pairs)):
            left[candidates[pairs.candidates[place]]].append(int(place))
        for cycle, upto in steps:
            while len(self.edits) < upto and any(left[candidate] for candidate in cycle):
                for candidate in cycle:
                    if left[candidate] and len(self.edits) < upto:
                        place = left[candidate].pop()
                        host, donor = int(pairs.hosts[place]), int(pairs.donors[place])
                        self._add(candidate, host, donor)

    def _add(self, candidate: EditCandidate, host: int, donor: int) -> None:
        seed = int(self._rng.integers(2**31))
        self.edits.append(Assigned(candidate, host, donor, seed))

    def _one(self, candidate: EditCandidate) -> bool:
        for _ in range(ATTEMPTS):
            free = candidate.hosts[self._as_host[candidate.hosts] < self._cap]
            if not len(free):
                return False
            use = self._as_host[free]
            host = int(self._rng.choice(free[use == use.min()]))
            donor = self._donor(candidate, host)
            if donor is None:
                continue
            self._as_host[host] += 1
            self._as_donor[donor] += 1
            self._done.add((host, donor, *candidate.kind))
            self._add(candidate, host, donor)
            return True
        return False

    def _donor(self, candidate: EditCandidate, host: int) -> int | None:
        if candidate.direction == "identity":
            return None if (host, host, *candidate.kind) in self._done else host
        donors = candidate.donors
        free = donors[(self._as_donor[donors] < self._cap) & (donors != host)]
        if len(free) > COMPARED:
            # With repeats, which are dropped: drawing without them takes time with all donors.
            free = free[np.unique(self._rng.integers(len(free), size=COMPARED))]
        best = [
            int(donor)
            for donor in free[np.argsort(self._mismatch(candidate, host, free), kind="stable")]
            if (host, int(donor), *candidate.kind) not in self._done
        ][:NEAREST]
        return int(self._rng.choice(best)) if best else None

    def _mismatch(self, candidate: EditCandidate, host: int, donors: np.ndarray) -> np.ndarray:
        """How badly donors fit the host, float array."""
        if candidate.nodes == (self._layouts.background,):
            return self._layouts.uncovered(host, donors, candidate.nodes)
        left_out = {*candidate.nodes, self._layouts.background}
        kept = [leaf for leaf in self._layouts.leaves if leaf not in left_out]
        return self._layouts.mismatch(host, donors, kept, candidate.nodes)
