"""The edits of one group: balancing, within the group, and how many there can be."""

from __future__ import annotations

from collections import Counter

import numpy as np

from heml.recombination.plan.assignment import Assigned, Assignment
from heml.recombination.plan.assignment_flow import most_edits
from heml.recombination.plan.candidates import EditCandidate, EditCandidates, Infeasible
from heml.recombination.plan.explanation import few_pairs, scarcity
from heml.recombination.plan.group_plan import GroupPlan, PlannedEdits
from heml.recombination.plan.layout import Layouts
from heml.recombination.plan.schedule import Kind, alternating, in_proportion
from heml.recombination.plan.train_split import TrainSplit
from heml.recombination.rebalance_settings import RebalanceSettings

#: Edits planned per wanted sample: gates refuse some.
OVERSAMPLE = 2.4
#: Of these, edits of affordable candidates come first: enough to choose from if few are refused.
AMPLE = 1.8
#: A candidate that costs more than this many times the cheapest is for spares, and for groups that
#: cheaper candidates cannot fill.
AFFORDABLE = 2.5
#: Parts of the plan, each with random numbers of its own: one does not change the others.
BALANCING, WITHIN_GROUP, IDENTITY = 0, 1, 2**31 - 1


class GroupEdits:
    """Finds the edits of groups of one train split, no image beyond its share.

    Parameters
    ----------
    split : TrainSplit
    candidates : EditCandidates
    layouts : Layouts
        Rows as in `split`.
    settings : RebalanceSettings
    """

    def __init__(
        self,
        split: TrainSplit,
        candidates: EditCandidates,
        layouts: Layouts,
        settings: RebalanceSettings,
    ) -> None:
        self._split = split
        self._candidates = candidates
        self._layouts = layouts
        self._settings = settings

    def room(
        self, group: GroupPlan, cycle: list[EditCandidate], within_group: int
    ) -> tuple[int, int]:
        """How many more balancing and within-group samples there can be, up to `min_synthetic`."""
        most = self._settings.min_synthetic
        candidates, _ = self._candidates.into(group.label, group.attributes)
        balancing = self._most_samples(candidates, group.balancing_samples + most)
        within = self._most_samples(list(dict.fromkeys(cycle)), within_group + most)
        return (
            max(balancing - group.balancing_samples, 0),
            max(within - within_group, 0),
        )

    def _most_samples(self, candidates: list[EditCandidate], wanted: int) -> int:
        """Most samples, up to `wanted`, of which no image gives more than its share."""
        # A share of fewer samples is smaller, so that still fewer may fit: down to what does.
        while (found := most_edits(candidates, self._cap(wanted), wanted, self._rng())) < wanted:
            wanted = found
        return wanted

    def balancing(self, group: GroupPlan, wanted: int) -> PlannedEdits:
        """Edits that bring a label and attribute values together that seldom meet."""
        if wanted == 0:
            return PlannedEdits()
        candidates, infeasible = self._candidates.into(group.label, group.attributes)
        if infeasible:
            return PlannedEdits(shortage=infeasible)
        affordable = [c for c in candidates if c.cost <= AFFORDABLE * candidates[0].cost]
        assignment = self._assignment(wanted, group.number, BALANCING)
        # Spares are of other kinds too: a kind that the gates refuse must not leave a group empty.
        spares = (alternating(candidates), int(np.ceil(wanted * OVERSAMPLE)))
        ample = (alternating(affordable), int(np.ceil(wanted * AMPLE)))
        assignment.fill([ample, spares])
        if len(assignment.edits) >= wanted:
            return PlannedEdits(assignment.edits)
        return PlannedEdits(assignment.edits, self._shortage(candidates, wanted))

    def _shortage(self, candidates: list[EditCandidate], wanted: int) -> Infeasible:
        """Why there are fewer edits than wanted: no more pairs, or no more within the share."""
        unlimited = most_edits(candidates, wanted, wanted, self._rng())
        if most_edits(candidates, self._cap(wanted), wanted, self._rng()) == unlimited:
            return few_pairs(candidates)
        return scarcity(candidates, self._cap(wanted), self._settings.donor_share)

    def within_group(
        self, group: GroupPlan, cycle: list[EditCandidate], wanted: int
    ) -> PlannedEdits:
        """Edits between two records of the group, of the same kinds as the others."""
        if wanted == 0:
            return PlannedEdits()
        if not cycle:
            return PlannedEdits(
                shortage=Infeasible(
                    "no_within_group", "no two of its records can exchange a segment"
                )
            )
        assignment = self._assignment(wanted, group.number, WITHIN_GROUP)
        assignment.fill([(cycle, int(np.ceil(wanted * OVERSAMPLE)))])
        if len(assignment.edits) >= wanted:
            return PlannedEdits(assignment.edits)
        few = Infeasible("no_within_group", "its records are too few for more within-group samples")
        return PlannedEdits(assignment.edits, few)

    def within_group_cycle(self, group: GroupPlan, kinds: Counter[Kind]) -> list[EditCandidate]:
        """One cycle of candidates between two of a group's records, in proportion to kinds."""
        members = self._split.members(group.label, group.attributes)
        found: dict[Kind, EditCandidate] = {}
        counts: Counter[Kind] = Counter()
        for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])):
            if candidate := self._candidates.within(*kind, members):
                found.setdefault(candidate.kind, candidate)
                counts[candidate.kind] += count
        return [found[kind] for kind in in_proportion(counts)]

    def identity(self, kinds: set[Kind]) -> list[Assigned]:
        """Edits whose donor is their host, of the same kinds as the others."""
        rows = np.flatnonzero(self._split.grouped)
        found = [self._candidates.identity(*kind, rows) for kind in sorted(kinds)]
        candidates = list({c.kind: c for c in found if c}.values())
        wanted = self._settings.identity_edits
        assignment = self._assignment(wanted, IDENTITY)
        assignment.fill([(alternating(candidates), wanted)])
        return assignment.edits

    def _cap(self, wanted: int) -> int:
        """Most edits of one group that one image may be host, or donor, of."""
        return max(int(np.ceil(self._settings.donor_share * wanted - 1e-9)), 1)

    def _assignment(self, wanted: int, *part: int) -> Assignment:
        return Assignment(self._layouts, self._cap(wanted), self._rng(*part))

    def _rng(self, *part: int) -> np.random.Generator:
        return np.random.default_rng([self._settings.seed, *part])
