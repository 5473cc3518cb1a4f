"""Planning a train split: how many samples each group gets; `group_edits` finds the edits."""

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
from heml.recombination.plan.candidates import EditCandidate, EditCandidates
from heml.recombination.plan.edit_rows import edit_row, leaves_to_recolor
from heml.recombination.plan.explanation import group_row, remarks
from heml.recombination.plan.group_edits import GroupEdits
from heml.recombination.plan.group_plan import GroupPlan, PlannedEdits
from heml.recombination.plan.layout import Layouts
from heml.recombination.plan.schedule import Kind, kinds_by_attribute
from heml.recombination.plan.train_split import TrainSplit
from heml.recombination.rebalance_settings import RebalanceSettings


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
        candidates = EditCandidates(self._split, roles, layouts, members or {}, operators)
        self._group_edits = GroupEdits(self._split, candidates, layouts, settings)
        self._recolorable = (
            leaves_to_recolor(roles, layouts.leaves, members or {}) if settings.donor_colors else ()
        )
        self._tinted = sorted(
            {leaf for by_leaf in roles.color_effects.values() for leaf in by_leaf}
        )
        self._worn = {p.leaf for found in roles.presence.values() for p in found}

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
            group.balancing = self._group_edits.balancing(group, group.n_balancing)
        asked, found = targets["n_balancing"].to_numpy(int), _counts(g.balancing for g in groups)
        if (found < asked).any():
            # What a group cannot use of the budget, others can.
            most = np.where(found < asked, found, targets["n_target"].to_numpy(int))
            targets = wanted_balancing(counted, self._settings, records, most)
            for group, wanted in zip(groups, targets["n_balancing"].tolist(), strict=True):
                if wanted > group.n_balancing:
                    group.balancing = self._group_edits.balancing(group, wanted)
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
            self._group_edits.room(group, cycle, wanted)
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
                group.balancing = self._group_edits.balancing(group, group.n_balancing)
            group.within_group = self._group_edits.within_group(
                group, cycle, wanted + more - more_balancing
            )
            # Additional samples that its records are too few for are no shortage.
            within = min(wanted + more - more_balancing, len(group.within_group))
            group.n_within_group = max(wanted, within)

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
            self._group_edits.within_group_cycle(group, kinds.get(group.attributes) or everywhere)
            for group in groups
        ]

    def _edits(self, groups: list[GroupPlan]) -> pd.DataFrame:
        """The plan's table: identity edits first, then what balances, then within groups."""
        identity = self._group_edits.identity(
            {e.candidate.kind for g in groups for e in g.balancing.edits}
        )
        split = self._split
        edits = [(e, str(split.labels[e.host]), split.values[e.host].tolist()) for e in identity]
        edits += [(e, g.label, g.attributes) for g in groups for e in g.balancing.edits]
        edits += [(e, g.label, g.attributes) for g in groups for e in g.within_group.edits]
        rows = [
            edit_row(
                number, *edit, split, self._layouts, self._recolorable, self._worn, self._tinted
            )
            for number, edit in enumerate(edits)
        ]
        return pd.DataFrame(rows, columns=REBALANCE_PLAN.column_names)


def _counts(parts: Iterable[PlannedEdits]) -> np.ndarray:
    return np.array([len(part) for part in parts], int)
