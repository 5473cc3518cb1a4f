"""Planning a train split: how many samples each group gets, and the edits that make them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_contracts import PLANNED_GROUPS, REBALANCE_PLAN
from heml.recombination.attribution.roles import Roles
from heml.recombination.plan.allocation import (
    count_groups,
    wanted_balancing,
    wanted_min_synthetic,
    wanted_within_group,
)
from heml.recombination.plan.assignment import Assigned, Assignment
from heml.recombination.plan.assignment_flow import most_edits
from heml.recombination.plan.candidates import EditCandidate, EditCandidates, Infeasible
from heml.recombination.plan.edit_rows import edit_row, leaves_to_recolor
from heml.recombination.plan.explanation import few_pairs, group_row, remarks, scarcity
from heml.recombination.plan.group_plan import GroupPlan, PlannedEdits
from heml.recombination.plan.layout import Layouts
from heml.recombination.plan.schedule import Kind, alternating, in_proportion, kinds_by_attribute
from heml.recombination.plan.train_split import TrainSplit
from heml.recombination.rebalance_settings import RebalanceSettings

#: Edits planned per wanted sample: gates refuse some.
OVERSAMPLE = 2.0
#: A candidate that costs more than this many times the cheapest is for spares, and for groups that
#: cheaper candidates cannot fill.
AFFORDABLE = 2.5
#: Parts of the plan, each with random numbers of its own: one does not change the others.
BALANCING, WITHIN_GROUP, IDENTITY = 0, 1, 2**31 - 1


@dataclass(frozen=True)
class Plan:
    """Edits and what they bring each group.

    Parameters
    ----------
    edits, groups : DataFrame
        As the contracts `rebalance_plan` and `planned_groups` say.
    remarks : list of str
        What holds for the plan as a whole and a reader should know.
    """

    edits: pd.DataFrame
    groups: pd.DataFrame
    remarks: list[str]


class Planner:
    """Plans the edits for a train split.

    Parameters
    ----------
    train : DataFrame
        Columns image_id, label and the attributes, missing values null or empty; rows as in
        `layouts`.
    attributes : sequence of str
    roles : Roles
    layouts : Layouts
    settings : RebalanceSettings
    label_name : str, default "label"
        What the label is called in the input.
    members : mapping of str to sequence of str, optional
        Node → its leaves; a node that is not named is its own leaf.
    """

    def __init__(
        self,
        train: pd.DataFrame,
        attributes: Sequence[str],
        roles: Roles,
        layouts: Layouts,
        settings: RebalanceSettings,
        label_name: str = "label",
        members: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._train = train
        self._split = TrainSplit.of(train, label_name, attributes)
        self._roles = roles
        self._layouts = layouts
        self._settings = settings
        operators = settings.operators
        self._candidates = EditCandidates(self._split, roles, layouts, members or {}, operators)
        self._recolorable = (
            leaves_to_recolor(roles, layouts.leaves, members or {}) if settings.donor_colors else ()
        )

    def plan(self) -> Plan:
        """Edits, groups and remarks. The same input and seed give the same plan."""
        counted = count_groups(self._train, self._split.label_name, self._split.attributes)
        targets, groups = self._balanced(counted)
        cycles = self._within_group_cycles(groups)
        self._add_own_and_additional(targets, groups, cycles)
        planned = pd.DataFrame([group_row(g) for g in groups], columns=PLANNED_GROUPS.column_names)
        noted = [*self._roles.remarks, *remarks(self._split, self._settings, planned)]
        return Plan(self._edits(groups), planned, noted)

    def _balanced(self, counted: pd.DataFrame) -> tuple[pd.DataFrame, list[GroupPlan]]:
        """Groups with their targets and the edits that bring label and attributes together."""
        records = len(self._split)
        targets = wanted_balancing(counted, self._settings, records)
        groups = [GroupPlan.of(*row) for row in enumerate(targets.to_dict("records"))]
        for group in groups:
            group.balancing = self._balancing(group, group.n_balancing)
        asked, found = targets["n_balancing"].to_numpy(int), _counts(g.balancing for g in groups)
        if (found < asked).any():
            # What a group cannot use of the budget, others can.
            most = np.where(found < asked, found, targets["n_target"].to_numpy(int))
            targets = wanted_balancing(counted, self._settings, records, most)
            for group, wanted in zip(groups, targets["n_balancing"].tolist(), strict=True):
                if wanted > group.n_balancing:
                    group.balancing = self._balancing(group, wanted)
                group.want(wanted)
        return targets, groups

    def _add_own_and_additional(
        self,
        targets: pd.DataFrame,
        groups: list[GroupPlan],
        cycles: list[list[EditCandidate]],
    ) -> None:
        """Within-group edits, and edits for additional samples up to `min_synthetic`."""
        records = len(self._split)
        possible = np.array([group.balancing_samples for group in groups], int)
        within_group = wanted_within_group(targets, possible, self._settings, records)
        rooms = [
            self._rooms(group, cycle, wanted)
            for group, cycle, wanted in zip(groups, cycles, within_group.tolist(), strict=True)
        ]
        room = np.array([sum(own) for own in rooms], int)
        extra = wanted_min_synthetic(
            targets, possible + within_group, room, self._settings, records
        )
        for group, cycle, wanted, own, more in zip(
            groups, cycles, within_group.tolist(), rooms, extra.tolist(), strict=True
        ):
            # More of what the group has most of already, and of the other where that is used up.
            mostly_balancing = group.balancing_samples > wanted
            more_balancing = min(more, own[0]) if mostly_balancing else max(more - own[1], 0)
            if more_balancing:
                group.want(group.balancing_samples + more_balancing)
                group.balancing = self._balancing(group, group.n_balancing)
            group.within_group = self._within_group(group, cycle, wanted + more - more_balancing)
            # Additional samples that its records are too few for are no shortage.
            within = min(wanted + more - more_balancing, len(group.within_group))
            group.n_within_group = max(wanted, within)

    def _rooms(
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

    def _rng(self, *part: int) -> np.random.Generator:
        return np.random.default_rng([self._settings.seed, *part])

    def _balancing(self, group: GroupPlan, wanted: int) -> PlannedEdits:
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
        assignment.fill([(alternating(affordable), wanted), spares])
        if len(assignment.edits) >= wanted:
            return PlannedEdits(assignment.edits)
        return PlannedEdits(assignment.edits, self._shortage(candidates, wanted))

    def _shortage(self, candidates: list[EditCandidate], wanted: int) -> Infeasible:
        """Why there are fewer edits than wanted: no more pairs, or no more within the share."""
        unlimited = most_edits(candidates, wanted, wanted, self._rng())
        if most_edits(candidates, self._cap(wanted), wanted, self._rng()) == unlimited:
            return few_pairs(candidates)
        return scarcity(candidates, self._cap(wanted), self._settings.donor_share)

    def _within_group(
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

    def _within_group_cycles(self, groups: list[GroupPlan]) -> list[list[EditCandidate]]:
        """For each group one cycle of candidates between two of its records.

        They are as frequent as the kinds that balance the groups of its attribute values: a kind
        that only some labels of an attribute value get would encode the label there.
        """
        kinds = kinds_by_attribute(
            (
                group.attributes,
                [edit.candidate for edit in group.balancing.edits[: group.n_balancing]],
            )
            for group in groups
        )
        everywhere = sum(kinds.values(), Counter[Kind]())
        return [
            self._within_group_cycle(group, kinds.get(group.attributes) or everywhere)
            for group in groups
        ]

    def _within_group_cycle(self, group: GroupPlan, kinds: Counter[Kind]) -> list[EditCandidate]:
        members = self._split.members(group.label, group.attributes)
        found: dict[Kind, EditCandidate] = {}
        counts: Counter[Kind] = Counter()
        for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])):
            if candidate := self._candidates.within(*kind, members):
                found.setdefault(candidate.kind, candidate)
                counts[candidate.kind] += count
        return [found[kind] for kind in in_proportion(counts)]

    def _identity_edits(self, kinds: set[Kind]) -> list[Assigned]:
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

    def _edits(self, groups: list[GroupPlan]) -> pd.DataFrame:
        """The plan's table: identity edits first, then what balances, then within groups."""
        identity = self._identity_edits(
            {e.candidate.kind for g in groups for e in g.balancing.edits}
        )
        split = self._split
        edits = [(e, str(split.labels[e.host]), split.values[e.host].tolist()) for e in identity]
        edits += [(e, g.label, g.attributes) for g in groups for e in g.balancing.edits]
        edits += [(e, g.label, g.attributes) for g in groups for e in g.within_group.edits]
        rows = [
            edit_row(number, *edit, split, self._layouts, self._recolorable)
            for number, edit in enumerate(edits)
        ]
        return pd.DataFrame(rows, columns=REBALANCE_PLAN.column_names)


def _counts(parts: Iterable[PlannedEdits]) -> np.ndarray:
    return np.array([len(part) for part in parts], int)
