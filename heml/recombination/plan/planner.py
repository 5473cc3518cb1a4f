"""Choosing the edits of every group: ways in turn, hosts and donors by use and by pose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from data_contracts import PLANNED_GROUPS, REBALANCE_PLAN
from heml.recombination.attribution.roles import Roles
from heml.recombination.operator import OPERATORS
from heml.recombination.plan.allocation import (
    budget_of,
    count_groups,
    known_records,
    texts,
    wanted_balancing,
    wanted_min_synthetic,
    wanted_within_group,
)
from heml.recombination.plan.candidates import EditCandidate, EditCandidates, Infeasible
from heml.recombination.plan.layout import Layouts
from heml.recombination.rebalance_settings import RebalanceSettings
from heml.taxonomy import BACKGROUND

#: Edits planned per wanted sample: gates refuse some.
OVERSAMPLE = 2.0
#: A way that costs more than this many times the cheapest is for spares, and for groups that the
#: cheaper ways cannot fill.
AFFORDABLE = 2.5
#: Donors that are compared with a host, and how many of the best of them are drawn from.
COMPARED, NEAREST = 128, 8
#: Directions in which the host gets the donor's colors. Where the label is moved the host keeps
#: its attribute, and with it the colors that go with it; an image's own colors are the same.
RECOLORING = ("swap_attribute", "within_group")
#: Turns after which controls have had their kinds in proportion.
CYCLE = 24
#: Draws of a host before a way counts as used up.
ATTEMPTS = 8

#: Operator and nodes.
Kind = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Plan:
    """What is to be made.

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


@dataclass
class PlannedEdits:
    """Edits of one group, of one kind."""

    edits: list[dict[str, Any]] = field(default_factory=list)
    hint: Infeasible | None = None


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
        self._attributes = list(attributes)
        self._roles = roles
        self._layouts = layouts
        self._settings = settings
        self._label_name = label_name
        self._ids = train["image_id"].tolist()
        self._labels = texts(train["label"])
        self._values = np.stack([texts(train[attribute]) for attribute in self._attributes], axis=1)
        self._known = known_records(train, self._attributes)
        self._ways = EditCandidates(
            self._labels,
            self._values,
            self._attributes,
            label_name,
            roles,
            layouts,
            members or {},
            settings.operators,
        )
        self._recolored = self._leaves_to_recolor(members or {})

    def _leaves_to_recolor(self, members: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """Leaves that may take a donor's colors: neither carriers of an attribute, which come from
        a donor of the right attribute or stay, nor scenery, nor what tells the label by its
        colors."""
        if not self._settings.donor_colors:
            return ()
        carriers = [node for nodes in self._roles.attribute_nodes.values() for node in nodes]
        fixed = {leaf for node in carriers for leaf in members.get(node, (node,))}
        fixed |= {BACKGROUND, *self._roles.label_colors}
        return tuple(leaf for leaf in self._layouts.leaves if leaf not in fixed)

    def plan(self) -> Plan:
        """Edits, groups and remarks. The same input and seed give the same plan."""
        records = len(self._train)
        counted = count_groups(self._train, self._label_name, self._attributes)
        groups = wanted_balancing(counted, self._settings, records)
        fills = [self._fill(number, group) for number, group in self._each(groups)]
        asked = groups["n_balancing"].to_numpy(int)
        filled = np.array([len(made.edits) for made in fills], int)
        if (filled < asked).any():
            # What a group cannot use of the budget, others can.
            most = np.where(filled < asked, filled, groups["n_target"].to_numpy(int))
            groups = wanted_balancing(counted, self._settings, records, most)
            for number, group in self._each(groups):
                if group["n_balancing"] > asked[number]:
                    fills[number] = self._fill(number, group)
        wanted = groups["n_balancing"].to_numpy(int)
        possible = np.minimum(wanted, [len(made.edits) for made in fills])
        asked = np.maximum(asked, wanted)
        self._kinds = _kinds_by_attribute(fills, wanted, groups)
        n_within_group = wanted_within_group(groups, possible, self._settings, records)
        plenty = np.array([len(made.edits) for made in fills], int) >= OVERSAMPLE * wanted
        by_fill = plenty & (possible > n_within_group)
        within_group_schedules = [
            self._within_group_schedules(group) for _, group in self._each(groups)
        ]
        hosts = [
            max((len(way.hosts) for way in turns), default=0) for turns in within_group_schedules
        ]
        # With fewer records, one would give more than its share.
        many = np.array(hosts, int) >= OVERSAMPLE / self._settings.donor_share
        able = by_fill | many
        extra = wanted_min_synthetic(
            groups, possible + n_within_group, able, self._settings, records
        )
        more_fill, more_control = np.where(by_fill, extra, 0), np.where(by_fill, 0, extra)
        groups = groups.assign(n_balancing=wanted + more_fill)
        for number, group in self._each(groups):
            if more_fill[number]:
                fills[number] = self._fill_beyond(number, group, int(wanted[number]))
        asked = np.maximum(asked, groups["n_balancing"].to_numpy(int))
        controls = [
            self._control(number, group, turns, int(n_within_group[number] + more_control[number]))
            for (number, group), turns in zip(
                self._each(groups), within_group_schedules, strict=True
            )
        ]
        # What a group has too few records for is no more than was asked for the sake of variety.
        n_within_group = np.maximum(
            n_within_group,
            np.minimum(n_within_group + more_control, [len(m.edits) for m in controls]),
        ).astype(int)
        own = self._identity_edits({_kind(e) for made in fills for e in made.edits})
        edits = [edit for made in (own, *fills, *controls) for edit in made.edits]
        for number, edit in enumerate(edits):
            edit["edit_id"] = f"edit-{number:06d}"
        rows = [
            self._planned(
                group,
                int(asked[number]),
                fills[number],
                int(n_within_group[number]),
                controls[number],
            )
            for number, group in self._each(groups)
        ]
        planned = pd.DataFrame(rows, columns=PLANNED_GROUPS.column_names)
        table = pd.DataFrame(edits, columns=REBALANCE_PLAN.column_names)
        return Plan(table, planned, self._remarks(planned))

    @staticmethod
    def _each(groups: pd.DataFrame) -> list[tuple[int, dict[Any, Any]]]:
        return list(enumerate(groups.to_dict("records")))

    def _fill(self, number: int, group: dict[Any, Any]) -> PlannedEdits:
        """Edits that bring label and attributes together that seldom meet."""
        wanted = int(group["n_balancing"])
        if wanted == 0:
            return PlannedEdits()
        ways, none = self._ways.into(str(group["label"]), group["attributes"])
        if none:
            return PlannedEdits(hint=none)
        good = [way for way in ways if way.cost <= AFFORDABLE * ways[0].cost]
        draw = _Draw(self, [number, 0], wanted, group)
        draw.take(_schedule(good), wanted)
        # Spares go other ways too: a way that the gates refuse must not leave the group empty.
        draw.take(_schedule(ways), int(np.ceil(wanted * OVERSAMPLE)))
        if len(draw.made.edits) < wanted:
            draw.made.hint = self._scarce(ways, wanted)
        return draw.made

    def _fill_beyond(self, number: int, group: dict[Any, Any], missing: int) -> PlannedEdits:
        """Edits for more samples than a group lacks.

        Where fewer can be made than are asked for, no image gives more than its share of those.
        """
        wanted, made = int(group["n_balancing"]), self._fill(number, group)
        while (fewer := max(len(made.edits), missing)) < wanted:
            made = self._fill(number, group | {"n_balancing": fewer})
            wanted = fewer
        return made

    def _scarce(self, ways: list[EditCandidate], wanted: int) -> Infeasible:
        """Why ways were used up."""
        scarce: dict[str, tuple[int, str]] = {}
        for way in ways:
            few = min((len(way.donors), "donor"), (len(way.hosts), "host"))
            scarce[way.direction] = max(scarce.get(way.direction, few), few)
        words = [
            f"{few} {word}{'' if few == 1 else 's'} for {direction}"
            for direction, (few, word) in sorted(scarce.items())
        ]
        cap, share = self.cap(wanted), self._settings.donor_share
        return Infeasible(
            "donor_share",
            f"{' and '.join(words)}, at most {cap} sample{'' if cap == 1 else 's'} each "
            f"(donor_share {share:g})",
        )

    def _control(
        self, number: int, group: dict[Any, Any], turns: list[EditCandidate], wanted: int
    ) -> PlannedEdits:
        """Edits between two records of the group, of the same kinds as the others."""
        if wanted == 0:
            return PlannedEdits()
        if not turns:
            return PlannedEdits(
                hint=Infeasible("no_within_group", "no two of its records can exchange a segment")
            )
        draw = _Draw(self, [number, 1], wanted, group)
        draw.take(turns, int(np.ceil(wanted * OVERSAMPLE)))
        if len(draw.made.edits) < wanted:
            draw.made.hint = Infeasible(
                "no_within_group", "its records are too few for more controls"
            )
        return draw.made

    def _within_group_schedules(self, group: dict[Any, Any]) -> list[EditCandidate]:
        """EditCandidates between two records of the group in the order of their turns.

        They are as frequent as the kinds that fill the groups of its attribute: a kind that only
        some labels of an attribute get would tell the label there.
        """
        same = (self._values == np.array(group["attributes"], object)).all(axis=1)
        members = np.flatnonzero((self._labels == str(group["label"])) & same)
        own = self._kinds.get(tuple(group["attributes"])) or sum(self._kinds.values(), Counter())
        ways: dict[Kind, EditCandidate] = {}
        counts: Counter[Kind] = Counter()
        for kind, count in sorted(own.items(), key=lambda item: (-item[1], item[0])):
            if way := self._ways.within(*kind, members):
                ways.setdefault((way.operator, way.nodes), way)
                counts[way.operator, way.nodes] += count
        return [ways[kind] for kind in _in_proportion(counts)]

    def _identity_edits(self, kinds: set[Kind]) -> PlannedEdits:
        """Edits whose donor is their host, of the same kinds as the others."""
        wanted = self._settings.identity_edits
        if not kinds or not wanted:
            return PlannedEdits()
        rows = np.flatnonzero(self._known)
        found = [self._ways.itself(*kind, rows) for kind in sorted(kinds)]
        ways = list({(w.operator, w.nodes): w for w in found if w}.values())
        draw = _Draw(self, [2**31 - 1], wanted, None)
        if ways:
            draw.take(_schedule(ways), wanted)
        return draw.made

    def cap(self, wanted: int) -> int:
        """Most edits of one group that one image may be host, or donor, of."""
        return max(int(np.ceil(self._settings.donor_share * wanted - 1e-9)), 1)

    def donors_by_pose(self, way: EditCandidate, host: int, donors: np.ndarray) -> np.ndarray:
        """Donors in the order of how well they fit the host."""
        if way.nodes == (BACKGROUND,):
            misfit = self._layouts.uncovered(host, donors, way.nodes)
        else:
            left_out = {*way.nodes, BACKGROUND}
            kept = [leaf for leaf in self._layouts.leaves if leaf not in left_out]
            misfit = self._layouts.mismatch(host, donors, kept)
        return donors[np.argsort(misfit, kind="stable")]

    def edit(
        self, way: EditCandidate, host: int, donor: int, group: dict[Any, Any] | None, seed: int
    ) -> dict[str, Any]:
        """One row of the plan; its id is given at the end."""
        label = str(group["label"]) if group else str(self._labels[host])
        values = group["attributes"] if group else self._values[host]
        return {
            "edit_id": "",
            "label": label,
            "attributes": [str(value) for value in values],
            "direction": way.direction,
            "operator": way.operator,
            "nodes": list(way.nodes),
            "recolored_nodes": self._recolored_by(way, host),
            "host_id": self._ids[host],
            "donor_id": self._ids[donor],
            "seed": seed,
        }

    def _recolored_by(self, way: EditCandidate, host: int) -> list[str]:
        if way.direction not in RECOLORING:
            return []
        return [
            leaf
            for leaf in self._recolored
            if leaf not in way.nodes and self._layouts.present(leaf)[host]
        ]

    def rng(self, place: Sequence[int]) -> np.random.Generator:
        """Random numbers of one part of the plan: other parts do not change them."""
        return np.random.default_rng([self._settings.seed, *place])

    @property
    def records(self) -> int:
        return len(self._ids)

    def _planned(
        self,
        group: dict[Any, Any],
        asked: int,
        fill: PlannedEdits,
        n_within_group: int,
        control: PlannedEdits,
    ) -> dict[str, Any]:
        n, target, wanted = int(group["n"]), int(group["n_target"]), int(group["n_balancing"])
        made, controls = len(fill.edits), len(control.edits)
        n_balancing, n_made_controls = min(wanted, made), min(n_within_group, controls)
        # Controls count too: a group that lacks few is filled by its own records.
        reached = n + n_balancing + n_made_controls
        reason, notes = "", []
        if target < n:
            reason = "above_target"
            notes.append(f"{n - target} more than aimed at: real records are never removed")
        elif reached < target and n + asked < target:
            reason = "budget"
            notes.append(f"the budget leaves {asked} of the {target - n} missing samples")
        if reached < target and made < asked and fill.hint:
            reason = fill.hint.reason
            notes.append(
                f"{made} of {asked} samples can be made: {fill.hint.sentence}"
                if made
                else f"cannot be reached: {fill.hint.sentence}"
            )
        if controls < n_within_group and control.hint:
            reason = reason or control.hint.reason
            notes.append(f"{controls} of {n_within_group} controls: {control.hint.sentence}")
        return {
            "group": group["group"],
            "label": str(group["label"]),
            "attributes": [str(value) for value in group["attributes"]],
            "n_real": n,
            "n_target": target,
            "n_wanted": n_balancing + n_made_controls,
            "n_planned": made + controls,
            "note": "; ".join(notes),
            "n_missing": max(target - n, 0),
            "n_balancing": n_balancing,
            "n_within_group": n_made_controls,
            "n_reached": reached,
            "reason": reason,
        }

    def _remarks(self, planned: pd.DataFrame) -> list[str]:
        remarks = list(self._roles.remarks)
        unknown = int((~self._known).sum())
        if unknown:
            missing = [
                f"{attribute} {sum(value is None for value in self._values[:, place])}"
                for place, attribute in enumerate(self._attributes)
                if any(value is None for value in self._values[:, place])
            ]
            remarks.append(
                f"{unknown} train record{'s have' if unknown != 1 else ' has'} no value of an "
                "attribute "
                f"({', '.join(missing)}): they belong to no group, stay in the dataset, and are "
                "never hosts"
            )
        for place, attribute in enumerate(self._attributes):
            counts = Counter(value for value in self._values[:, place] if value is not None)
            once = sorted(str(value) for value, count in counts.items() if count == 1)
            if once:
                remarks.append(f"{attribute} {', '.join(once)} occurs in a single train record")
        if self._settings.budget == 0:
            remarks.append("the budget is 0: nothing is made")
        elif budget_of(self._settings, len(self._train)) == 0:
            remarks.append("the budget is less than one sample: nothing is made")
        if planned.empty:
            remarks.append("no train record has a value of every attribute: nothing can be planned")
        elif (planned["n_real"] > 0).sum() == 1:
            only = planned.loc[planned["n_real"] > 0, "group"].iloc[0]
            remarks.append(
                f"all train records are in one group, {only}: nothing tells what to move"
            )
        return remarks + _unbalanced(planned)


class _Draw:
    """Draws the edits of one group: no image gives more than its share."""

    def __init__(
        self, planner: Planner, place: Sequence[int], wanted: int, group: dict[Any, Any] | None
    ) -> None:
        self.made = PlannedEdits()
        self._planner = planner
        self._group = group
        self._cap = planner.cap(wanted)
        self._rng = planner.rng(place)
        self._as_host = np.zeros(planner.records, int)
        self._as_donor = np.zeros(planner.records, int)
        self._done: set[tuple[int, int, str, tuple[str, ...]]] = set()

    def take(self, turns: list[EditCandidate], total: int) -> None:
        """Edits by the ways in turn until there are `total`, or all ways are used up."""
        while turns and len(self.made.edits) < total:
            for way in list(turns):
                if len(self.made.edits) >= total:
                    break
                if way in turns and not self._one(way):
                    turns = [other for other in turns if other is not way]

    def _one(self, way: EditCandidate) -> bool:
        for _ in range(ATTEMPTS):
            free = way.hosts[self._as_host[way.hosts] < self._cap]
            if not len(free):
                return False
            use = self._as_host[free]
            host = int(self._rng.choice(free[use == use.min()]))
            donor = self._donor(way, host)
            if donor is None:
                continue
            self._as_host[host] += 1
            self._as_donor[donor] += 1
            self._done.add((host, donor, way.operator, way.nodes))
            seed = int(self._rng.integers(2**31))
            self.made.edits.append(self._planner.edit(way, host, donor, self._group, seed))
            return True
        return False

    def _donor(self, way: EditCandidate, host: int) -> int | None:
        if way.direction == "identity":
            done = (host, host, way.operator, way.nodes) in self._done
            return None if done else host
        free = way.donors[(self._as_donor[way.donors] < self._cap) & (way.donors != host)]
        if len(free) > COMPARED:
            # With repeats, which are dropped: drawing without them takes time with all donors.
            free = free[np.unique(self._rng.integers(len(free), size=COMPARED))]
        ordered = self._planner.donors_by_pose(way, host, free)
        best = [
            int(donor)
            for donor in ordered
            if (host, int(donor), way.operator, way.nodes) not in self._done
        ][:NEAREST]
        return int(self._rng.choice(best)) if best else None


def _schedule(ways: Sequence[EditCandidate]) -> list[EditCandidate]:
    """EditCandidates in the order of their turns: directions alternate, and what carries texture
    and shape comes twice as often as what carries color alone."""
    directions: dict[str, list[EditCandidate]] = {}
    for way in ways:
        turns = 1 + OPERATORS[way.operator].moves_pixels
        directions.setdefault(way.direction, []).extend([way] * turns)
    most = max((len(own) for own in directions.values()), default=0)
    return [own[turn % len(own)] for turn in range(most) for own in directions.values()]


def _kinds_by_attribute(
    fills: Sequence[PlannedEdits], wanted: np.ndarray, groups: pd.DataFrame
) -> dict[tuple[str, ...], Counter[Kind]]:
    """How often each kind of edit fills the groups of each combination of attributes, spares aside.
    How often each kind of edit fills the groups of each combination of attributes, spares aside."""
    found: dict[tuple[str, ...], Counter[Kind]] = {}
    for made, count, attributes in zip(fills, wanted, groups["attributes"], strict=True):
        kinds = Counter(map(_kind, made.edits[:count]))
        if kinds:
            found[tuple(attributes)] = found.get(tuple(attributes), Counter()) + kinds
    return found


def _kind(edit: Mapping[str, Any]) -> Kind:
    return edit["operator"], tuple(edit["nodes"])


def _in_proportion(counts: Counter[Kind]) -> list[Kind]:
    """A cycle in which each kind comes about as often as it is counted, evenly spread, and at
    least once."""
    shares = {kind: count / max(counts.total(), 1) for kind, count in counts.items()}
    turns = [
        ((turn + 0.5) / times, -share, kind)
        for kind, share in shares.items()
        for times in [max(round(share * CYCLE), 1)]
        for turn in range(times)
    ]
    return [kind for *_, kind in sorted(turns)]


def _unbalanced(planned: pd.DataFrame) -> list[str]:
    """A line if recombined samples make up much more of one label's records than of another's."""
    sums = planned[planned["n_target"] > 0].groupby("label")[["n_real", "n_reached"]].sum()
    sums = sums[sums["n_reached"] > 0]
    shares = 1 - sums["n_real"] / sums["n_reached"]
    if shares.empty or shares.min() >= 0.8 * shares.max():
        return []
    names = ", ".join(str(label) for label in shares[shares < 0.8 * shares.max()].index)
    return [
        f"{names} gets fewer recombined samples than the other labels, for its records: being "
        "recombined tells something of the label"
    ]
