"""Choosing the edits of every cell: ways in turn, hosts and donors by use and by pose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from data_contracts import PLANNED_CELLS, REBALANCE_PLAN
from heml.recombination.attribution.roles import Roles
from heml.recombination.plan.allocation import (
    budget_of,
    count_cells,
    known_records,
    texts,
    wanted_controls,
    wanted_fill,
    wanted_variety,
)
from heml.recombination.plan.candidates import NoWay, Way, Ways
from heml.recombination.plan.layout import Layouts
from heml.recombination.rebalance_settings import RebalanceSettings
from heml.taxonomy import BACKGROUND

#: Edits planned per wanted sample: gates refuse some.
SPARES = 2.0
#: A way that costs more than this many times the cheapest is for spares, and for cells that the
#: cheaper ways cannot fill.
AFFORDABLE = 2.5
#: Donors that are compared with a host, and how many of the best of them are drawn from.
COMPARED, NEAREST = 128, 8
#: Directions in which the host gets the donor's colours. Where the label is moved the host keeps
#: its group, and with it the colours that go with it; a picture's own colours are the same.
RECOLOURING = ("group_onto_host", "control")
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
    edits, cells : DataFrame
        As the contracts `rebalance_plan` and `planned_cells` say.
    remarks : list of str
        What holds for the plan as a whole and a reader should know.
    """

    edits: pd.DataFrame
    cells: pd.DataFrame
    remarks: list[str]


@dataclass
class _Made:
    """Edits of one cell, of one kind."""

    edits: list[dict[str, Any]] = field(default_factory=list)
    hint: NoWay | None = None


class Planner:
    """Plans the edits for a train split.

    Parameters
    ----------
    train : DataFrame
        Columns image_id, label and the groups, missing values null or empty; rows as in `layouts`.
    groups : sequence of str
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
        groups: Sequence[str],
        roles: Roles,
        layouts: Layouts,
        settings: RebalanceSettings,
        label_name: str = "label",
        members: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._train = train
        self._groups = list(groups)
        self._roles = roles
        self._layouts = layouts
        self._settings = settings
        self._label_name = label_name
        self._ids = train["image_id"].tolist()
        self._labels = texts(train["label"])
        self._values = np.stack([texts(train[group]) for group in self._groups], axis=1)
        self._known = known_records(train, self._groups)
        self._ways = Ways(
            self._labels,
            self._values,
            self._groups,
            label_name,
            roles,
            layouts,
            members or {},
            settings.operators,
        )
        self._recoloured = self._leaves_to_recolour(members or {})

    def _leaves_to_recolour(self, members: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """Leaves that may take a donor's colours: neither carriers of a group, which come from a
        donor of the right group or stay, nor scenery, nor what tells the label by its colours."""
        if not self._settings.donor_colours:
            return ()
        carriers = [node for nodes in self._roles.group_carriers.values() for node in nodes]
        fixed = {leaf for node in carriers for leaf in members.get(node, (node,))}
        fixed |= {BACKGROUND, *self._roles.label_colours}
        return tuple(leaf for leaf in self._layouts.leaves if leaf not in fixed)

    def plan(self) -> Plan:
        """Edits, cells and remarks. The same input and seed give the same plan."""
        records = len(self._train)
        counted = count_cells(self._train, self._label_name, self._groups)
        cells = wanted_fill(counted, self._settings, records)
        fills = [self._fill(number, cell) for number, cell in self._each(cells)]
        asked = cells["n_fill"].to_numpy(int)
        filled = np.array([len(made.edits) for made in fills], int)
        if (filled < asked).any():
            # What a cell cannot use of the budget, others can.
            most = np.where(filled < asked, filled, cells["n_target"].to_numpy(int))
            cells = wanted_fill(counted, self._settings, records, most)
            for number, cell in self._each(cells):
                if cell["n_fill"] > asked[number]:
                    fills[number] = self._fill(number, cell)
        wanted = cells["n_fill"].to_numpy(int)
        possible = np.minimum(wanted, [len(made.edits) for made in fills])
        asked = np.maximum(asked, wanted)
        self._kinds = _kinds_by_group(fills, wanted, cells)
        n_control = wanted_controls(cells, possible, self._settings, records)
        plenty = np.array([len(made.edits) for made in fills], int) >= SPARES * wanted
        by_fill = plenty & (possible > n_control)
        control_turns = [self._control_turns(cell) for _, cell in self._each(cells)]
        hosts = [max((len(way.hosts) for way in turns), default=0) for turns in control_turns]
        # With fewer records, one would give more than its share.
        many = np.array(hosts, int) >= SPARES / self._settings.donor_share
        able = by_fill | many
        extra = wanted_variety(cells, possible + n_control, able, self._settings, records)
        more_fill, more_control = np.where(by_fill, extra, 0), np.where(by_fill, 0, extra)
        cells = cells.assign(n_fill=wanted + more_fill)
        for number, cell in self._each(cells):
            if more_fill[number]:
                fills[number] = self._fill_beyond(number, cell, int(wanted[number]))
        asked = np.maximum(asked, cells["n_fill"].to_numpy(int))
        controls = [
            self._control(number, cell, turns, int(n_control[number] + more_control[number]))
            for (number, cell), turns in zip(self._each(cells), control_turns, strict=True)
        ]
        # What a cell has too few records for is no more than was asked for the sake of variety.
        n_control = np.maximum(
            n_control, np.minimum(n_control + more_control, [len(m.edits) for m in controls])
        ).astype(int)
        own = self._self_recombinations({_kind(e) for made in fills for e in made.edits})
        edits = [edit for made in (own, *fills, *controls) for edit in made.edits]
        for number, edit in enumerate(edits):
            edit["edit_id"] = f"edit-{number:06d}"
        rows = [
            self._planned(
                cell, int(asked[number]), fills[number], int(n_control[number]), controls[number]
            )
            for number, cell in self._each(cells)
        ]
        planned = pd.DataFrame(rows, columns=PLANNED_CELLS.column_names)
        table = pd.DataFrame(edits, columns=REBALANCE_PLAN.column_names)
        return Plan(table, planned, self._remarks(planned))

    @staticmethod
    def _each(cells: pd.DataFrame) -> list[tuple[int, dict[Any, Any]]]:
        return list(enumerate(cells.to_dict("records")))

    def _fill(self, number: int, cell: dict[Any, Any]) -> _Made:
        """Edits that bring label and groups together that seldom meet."""
        wanted = int(cell["n_fill"])
        if wanted == 0:
            return _Made()
        ways, none = self._ways.into(str(cell["label"]), cell["groups"])
        if none:
            return _Made(hint=none)
        good = [way for way in ways if way.cost <= AFFORDABLE * ways[0].cost]
        draw = _Draw(self, [number, 0], wanted, cell)
        draw.take(_turns(good), wanted)
        # Spares go other ways too: a way that the gates refuse must not leave the cell empty.
        draw.take(_turns(ways), int(np.ceil(wanted * SPARES)))
        if len(draw.made.edits) < wanted:
            draw.made.hint = self._scarce(ways, wanted)
        return draw.made

    def _fill_beyond(self, number: int, cell: dict[Any, Any], missing: int) -> _Made:
        """Edits for more samples than a cell lacks.

        Where fewer can be made than are asked for, no image gives more than its share of those.
        """
        wanted, made = int(cell["n_fill"]), self._fill(number, cell)
        while (fewer := max(len(made.edits), missing)) < wanted:
            made = self._fill(number, cell | {"n_fill": fewer})
            wanted = fewer
        return made

    def _scarce(self, ways: list[Way], wanted: int) -> NoWay:
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
        return NoWay(
            "donor_share",
            f"{' and '.join(words)}, at most {cap} sample{'' if cap == 1 else 's'} each "
            f"(donor_share {share:g})",
        )

    def _control(self, number: int, cell: dict[Any, Any], turns: list[Way], wanted: int) -> _Made:
        """Edits between two records of the cell, of the same kinds as the others."""
        if wanted == 0:
            return _Made()
        if not turns:
            return _Made(hint=NoWay("no_controls", "no two of its records can exchange a segment"))
        draw = _Draw(self, [number, 1], wanted, cell)
        draw.take(turns, int(np.ceil(wanted * SPARES)))
        if len(draw.made.edits) < wanted:
            draw.made.hint = NoWay("no_controls", "its records are too few for more controls")
        return draw.made

    def _control_turns(self, cell: dict[Any, Any]) -> list[Way]:
        """Ways between two records of the cell in the order of their turns.

        They are as frequent as the kinds that fill the cells of its group: a kind that only some
        labels of a group get would tell the label there.
        """
        same = (self._values == np.array(cell["groups"], object)).all(axis=1)
        members = np.flatnonzero((self._labels == str(cell["label"])) & same)
        own = self._kinds.get(tuple(cell["groups"])) or sum(self._kinds.values(), Counter())
        ways: dict[Kind, Way] = {}
        counts: Counter[Kind] = Counter()
        for kind, count in sorted(own.items(), key=lambda item: (-item[1], item[0])):
            if way := self._ways.within(*kind, members):
                ways.setdefault((way.operator, way.nodes), way)
                counts[way.operator, way.nodes] += count
        return [ways[kind] for kind in _in_proportion(counts)]

    def _self_recombinations(self, kinds: set[Kind]) -> _Made:
        """Edits whose donor is their host, of the same kinds as the others."""
        wanted = self._settings.self_recombinations
        if not kinds or not wanted:
            return _Made()
        rows = np.flatnonzero(self._known)
        found = [self._ways.itself(*kind, rows) for kind in sorted(kinds)]
        ways = list({(w.operator, w.nodes): w for w in found if w}.values())
        draw = _Draw(self, [2**31 - 1], wanted, None)
        if ways:
            draw.take(_turns(ways), wanted)
        return draw.made

    def cap(self, wanted: int) -> int:
        """Most edits of one cell that one image may be host, or donor, of."""
        return max(int(np.ceil(self._settings.donor_share * wanted - 1e-9)), 1)

    def donors_by_pose(self, way: Way, host: int, donors: np.ndarray) -> np.ndarray:
        """Donors in the order of how well they fit the host."""
        if way.nodes == (BACKGROUND,):
            misfit = self._layouts.uncovered(host, donors, way.nodes)
        else:
            left_out = {*way.nodes, BACKGROUND}
            kept = [leaf for leaf in self._layouts.leaves if leaf not in left_out]
            misfit = self._layouts.mismatch(host, donors, kept)
        return donors[np.argsort(misfit, kind="stable")]

    def edit(
        self, way: Way, host: int, donor: int, cell: dict[Any, Any] | None, seed: int
    ) -> dict[str, Any]:
        """One row of the plan; its id is given at the end."""
        label = str(cell["label"]) if cell else str(self._labels[host])
        values = cell["groups"] if cell else self._values[host]
        return {
            "edit_id": "",
            "label": label,
            "groups": [str(value) for value in values],
            "direction": way.direction,
            "operator": way.operator,
            "nodes": list(way.nodes),
            "recoloured_nodes": self._recoloured_by(way, host),
            "host_id": self._ids[host],
            "donor_id": self._ids[donor],
            "seed": seed,
        }

    def _recoloured_by(self, way: Way, host: int) -> list[str]:
        if way.direction not in RECOLOURING:
            return []
        return [
            leaf
            for leaf in self._recoloured
            if leaf not in way.nodes and self._layouts.present(leaf)[host]
        ]

    def rng(self, place: Sequence[int]) -> np.random.Generator:
        """Random numbers of one part of the plan: other parts do not change them."""
        return np.random.default_rng([self._settings.seed, *place])

    @property
    def records(self) -> int:
        return len(self._ids)

    def _planned(
        self, cell: dict[Any, Any], asked: int, fill: _Made, n_control: int, control: _Made
    ) -> dict[str, Any]:
        n, target, wanted = int(cell["n"]), int(cell["n_target"]), int(cell["n_fill"])
        made, controls = len(fill.edits), len(control.edits)
        n_fill, n_made_controls = min(wanted, made), min(n_control, controls)
        # Controls count too: a cell that lacks few is filled by its own records.
        reached = n + n_fill + n_made_controls
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
        if controls < n_control and control.hint:
            reason = reason or control.hint.reason
            notes.append(f"{controls} of {n_control} controls: {control.hint.sentence}")
        return {
            "cell": cell["cell"],
            "label": str(cell["label"]),
            "groups": [str(value) for value in cell["groups"]],
            "n_real": n,
            "n_target": target,
            "n_wanted": n_fill + n_made_controls,
            "n_planned": made + controls,
            "note": "; ".join(notes),
            "n_missing": max(target - n, 0),
            "n_fill": n_fill,
            "n_control": n_made_controls,
            "n_reached": reached,
            "reason": reason,
        }

    def _remarks(self, planned: pd.DataFrame) -> list[str]:
        remarks = list(self._roles.remarks)
        unknown = int((~self._known).sum())
        if unknown:
            missing = [
                f"{group} {sum(value is None for value in self._values[:, place])}"
                for place, group in enumerate(self._groups)
                if any(value is None for value in self._values[:, place])
            ]
            remarks.append(
                f"{unknown} train record{'s have' if unknown != 1 else ' has'} no value of a group "
                f"({', '.join(missing)}): they belong to no cell, stay in the dataset, and are "
                "never hosts"
            )
        for place, group in enumerate(self._groups):
            counts = Counter(value for value in self._values[:, place] if value is not None)
            once = sorted(str(value) for value, count in counts.items() if count == 1)
            if once:
                remarks.append(f"{group} {', '.join(once)} occurs in a single train record")
        if self._settings.budget == 0:
            remarks.append("the budget is 0: nothing is made")
        elif budget_of(self._settings, len(self._train)) == 0:
            remarks.append("the budget is less than one sample: nothing is made")
        if planned.empty:
            remarks.append("no train record has a value of every group: nothing can be planned")
        elif (planned["n_real"] > 0).sum() == 1:
            only = planned.loc[planned["n_real"] > 0, "cell"].iloc[0]
            remarks.append(f"all train records are in one cell, {only}: nothing tells what to move")
        return remarks + _unbalanced(planned)


class _Draw:
    """Draws the edits of one cell: no image gives more than its share."""

    def __init__(
        self, planner: Planner, place: Sequence[int], wanted: int, cell: dict[Any, Any] | None
    ) -> None:
        self.made = _Made()
        self._planner = planner
        self._cell = cell
        self._cap = planner.cap(wanted)
        self._rng = planner.rng(place)
        self._as_host = np.zeros(planner.records, int)
        self._as_donor = np.zeros(planner.records, int)
        self._done: set[tuple[int, int, str, tuple[str, ...]]] = set()

    def take(self, turns: list[Way], total: int) -> None:
        """Edits by the ways in turn until there are `total`, or all ways are used up."""
        while turns and len(self.made.edits) < total:
            for way in list(turns):
                if len(self.made.edits) >= total:
                    break
                if way in turns and not self._one(way):
                    turns = [other for other in turns if other is not way]

    def _one(self, way: Way) -> bool:
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
            self.made.edits.append(self._planner.edit(way, host, donor, self._cell, seed))
            return True
        return False

    def _donor(self, way: Way, host: int) -> int | None:
        if way.direction == "self":
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


def _turns(ways: Sequence[Way]) -> list[Way]:
    """Ways in the order of their turns: directions alternate, and what carries texture and shape
    comes twice as often as what carries colour alone."""
    directions: dict[str, list[Way]] = {}
    for way in ways:
        directions.setdefault(way.direction, []).extend([way] * (1 + (way.operator != "recolour")))
    most = max((len(own) for own in directions.values()), default=0)
    return [own[turn % len(own)] for turn in range(most) for own in directions.values()]


def _kinds_by_group(
    fills: Sequence[_Made], wanted: np.ndarray, cells: pd.DataFrame
) -> dict[tuple[str, ...], Counter[Kind]]:
    """How often each kind of edit fills the cells of each combination of groups, spares aside."""
    found: dict[tuple[str, ...], Counter[Kind]] = {}
    for made, count, groups in zip(fills, wanted, cells["groups"], strict=True):
        kinds = Counter(map(_kind, made.edits[:count]))
        if kinds:
            found[tuple(groups)] = found.get(tuple(groups), Counter()) + kinds
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
