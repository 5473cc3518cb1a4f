"""The kinds of edit that can bring a label and group values together, with what each costs.

A way says what is moved, how, from which donors onto which hosts. Choosing among hosts and donors
is `planner`'s work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from heml.recombination.attribution.presence import Presence
from heml.recombination.attribution.roles import Roles
from heml.recombination.plan.layout import Layouts
from heml.taxonomy import BACKGROUND

#: What an operator's outline shows of it, against a pasted segment's: a recoloured segment keeps
#: its own outline, an exchanged background lies behind the host's.
SEAM_WEIGHT = {"recolour": 0.25, "background": 0.5}


@dataclass(frozen=True, eq=False)
class Way:
    """One kind of edit for one cell.

    Parameters
    ----------
    direction, operator : str
        As in the plan.
    nodes : tuple of str
        Leaves that are exchanged.
    hosts, donors : int array
        Train rows that it can start from and take from. Donors of a removal lack the segment: they
        give what it hid.
    cost : float
        Length of the visible seam, and area of what is filled or covered: comparable over ways.
    """

    direction: str
    operator: str
    nodes: tuple[str, ...]
    hosts: np.ndarray
    donors: np.ndarray
    cost: float


@dataclass(frozen=True)
class NoWay:
    """Why a cell cannot be reached: a reason of the `planned_cells` contract, and a sentence."""

    reason: str
    sentence: str


class Ways:
    """Finds the ways into cells of one train split.

    Parameters
    ----------
    labels : object array (N,)
    values : object array (N, groups)
        None where missing.
    groups : sequence of str
    label_name : str
    roles : Roles
    layouts : Layouts
        Rows as in `labels`.
    members : mapping of str to sequence of str
        Node → its leaves.
    operators : sequence of str
        Those allowed.
    """

    def __init__(
        self,
        labels: np.ndarray,
        values: np.ndarray,
        groups: Sequence[str],
        label_name: str,
        roles: Roles,
        layouts: Layouts,
        members: Mapping[str, Sequence[str]],
        operators: Sequence[str],
    ) -> None:
        self._labels = labels
        self._values = values
        self._groups = list(groups)
        self._label_name = label_name
        self._roles = roles
        self._layouts = layouts
        self._operators = set(operators)
        self._known = np.array([[v is not None for v in row] for row in values], bool).reshape(
            len(labels), len(self._groups)
        )
        self._moved = {
            group: tuple(dict.fromkeys(x for n in roles.group_carriers.get(group, ())
                                       for x in members.get(n, (n,))))
            for group in self._groups
        }  # fmt: skip
        self._label_moved = tuple(
            dict.fromkeys(x for n in roles.label_carriers for x in members.get(n, (n,)))
        )

    def into(self, label: str, values: Sequence[str]) -> tuple[list[Way], NoWay | None]:
        """All ways into a cell, the cheapest first; without any, why there is none."""
        target = np.array(list(values), dtype=object)
        found = [*self._group_ways(label, target), *self._label_ways(label, target)]
        found.sort(key=lambda way: (way.cost, way.direction, way.operator, way.nodes))
        return (found, None) if found else ([], self._why_not(label, target))

    def within(self, operator: str, nodes: tuple[str, ...], members: np.ndarray) -> Way | None:
        """The way of a control: the same edit between two records of one cell."""
        has = self._layouts.any_present(nodes)
        if operator in ("insert", "remove"):
            # Within a cell both have the segment or neither has: what is left is to exchange it.
            operator = "transplant"
        own = members[has[members]]
        if len(own) < 2 or operator not in self._operators | {"transplant"}:
            return None
        return Way("control", operator, nodes, own, own, self._cost(operator, nodes))

    def itself(self, operator: str, nodes: tuple[str, ...], rows: np.ndarray) -> Way | None:
        """The way of a self-recombination: donor and host are one image that has the nodes."""
        operator = "transplant" if operator in ("insert", "remove") else operator
        own = rows[self._layouts.any_present(nodes)[rows]]
        if not len(own):
            return None
        return Way("self", operator, nodes, own, own[:0], self._cost(operator, nodes))

    def _group_ways(self, label: str, target: np.ndarray) -> list[Way]:
        same_label = self._labels == label
        differs = (self._values != target) | ~self._known
        known = self._known.all(axis=1)
        ways = []
        places = range(len(self._groups))
        for size in range(1, len(self._groups) + 1):
            for pattern in combinations(places, size):
                moved = [self._moved[self._groups[p]] for p in pattern]
                if not all(moved):
                    continue
                nodes = tuple(dict.fromkeys(leaf for leaves in moved for leaf in leaves))
                if set(nodes) & set(self._label_moved):
                    continue
                wanted = np.isin(np.arange(len(self._groups)), pattern)
                hosts = same_label & known & (differs == wanted).all(axis=1)
                # Other groups that the same leaves carry come along: the donor's must fit too.
                touched = [p for p in places if set(self._moved[self._groups[p]]) & set(nodes)]
                donors = self._known[:, touched].all(1) & ~differs[:, touched].any(1)
                rules = []
                for place in touched:
                    for rule in self._roles.presence.get(self._groups[place], ()):
                        rules.append((rule, str(target[place])))
                        donors &= self._as_told(rule, self._values[:, place])
                        hosts &= self._as_told(rule, self._values[:, place])
                ways += self._operated("group_onto_host", nodes, hosts, donors, rules)
        return ways

    def _label_ways(self, label: str, target: np.ndarray) -> list[Way]:
        nodes = self._label_moved
        if not nodes:
            return []
        known = np.array([value is not None for value in self._labels], bool)
        same_groups = (self._known & (self._values == target)).all(axis=1)
        hosts = same_groups & known & (self._labels != label)
        donors = self._labels == label
        rules = [(rule, label) for rule in self._roles.label_presence]
        for rule, _ in rules:
            donors &= self._as_told(rule, self._labels)
            hosts &= self._as_told(rule, self._labels)
        return self._operated("label_onto_donor", nodes, hosts, donors, rules)

    def _operated(
        self,
        direction: str,
        nodes: tuple[str, ...],
        hosts: np.ndarray,
        donors: np.ndarray,
        rules: Sequence[tuple[Presence, str]],
    ) -> list[Way]:
        """The ways of one move by operator: what host and donor have says which can be.

        Parameters
        ----------
        rules : sequence of (Presence, str)
            What presences tell, with the value that the sample is to have.
        """
        has = self._layouts.any_present(nodes, {r.leaf: r.least_area for r, _ in rules})
        ways = []

        def add(operator: str, own: np.ndarray, others: np.ndarray) -> None:
            if operator in self._operators and own.any() and others.any():
                rows = np.flatnonzero(own), np.flatnonzero(others)
                ways.append(Way(direction, operator, nodes, *rows, self._cost(operator, nodes)))

        if nodes == (BACKGROUND,):
            add("background", hosts & has, donors & has)
        else:
            add("transplant", hosts & has, donors & has)
            add("insert", hosts & ~has, donors & has)
            # Taking a segment away changes an attribute only if its presence is the attribute.
            gone = {rule.leaf for rule, value in rules if not rule.present.get(value, True)}
            if rules and gone == set(nodes):
                add("remove", hosts & has, donors & ~has)
        if direction == "group_onto_host" and not rules:
            # A label's segment differs in shape: its colours alone would not carry the label over.
            add("recolour", hosts & has, donors & has)
        return ways

    def _as_told(self, rule: Presence, values: np.ndarray) -> np.ndarray:
        """Records whose segment is there, or not, as the rule expects of their value."""
        expected = np.array([rule.present.get(str(value), False) for value in values], bool)
        return self._layouts.present(rule.leaf, rule.least_area) == expected

    def _cost(self, operator: str, nodes: tuple[str, ...]) -> float:
        cost = SEAM_WEIGHT.get(operator, 1.0) * self._layouts.seam(nodes)
        if operator not in SEAM_WEIGHT:
            cost += sum(self._layouts.mean_area(leaf) for leaf in nodes)
        return cost

    def _why_not(self, label: str, target: np.ndarray) -> NoWay:
        named = ", ".join(map(str, target))
        if not (self._labels == label).any():
            return NoWay("no_host", f"no train record has {self._label_name} {label}")
        same_groups = (self._known & (self._values == target)).all(axis=1)
        for place, group in enumerate(self._groups):
            if not (self._known[:, place] & (self._values[:, place] == target[place])).any():
                return NoWay("no_donor", f"no train record has {group} {target[place]}")
        unmoved = [group for group in self._groups if not self._moved[group]]
        if unmoved and not self._label_moved:
            return NoWay(
                "no_carrier",
                f"no node carries {', '.join(unmoved)} clearly enough to be moved, and none "
                f"carries {self._label_name}",
            )
        if not self._label_moved and not same_groups.any() and unmoved:
            return NoWay("no_carrier", f"no node carries {', '.join(unmoved)}")
        if unmoved:
            return NoWay(
                "no_host",
                f"no train record with {named} has another {self._label_name} and the segments "
                f"that carry it, and no node carries {', '.join(unmoved)} clearly enough to be "
                "moved",
            )
        fitting = self._operators - {"recolour"}
        if not fitting:
            return NoWay("no_operator", "recolouring alone, the one operator allowed, cannot do it")
        return NoWay(
            "no_donor",
            "no two train records fit as host and donor: the segments that carry "
            f"{', '.join([*self._groups, self._label_name])} are missing, or the allowed "
            "operators cannot move them",
        )
