"""The kinds of edit that can bring a label and attribute values together, with what each costs.

A candidate says what is moved, how, from which donors onto which hosts. `assignment` chooses among
hosts and donors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from heml.recombination.attribution.presence import Presence
from heml.recombination.attribution.roles import Roles
from heml.recombination.operator import OPERATORS, Move
from heml.recombination.plan.layout import Layouts
from heml.recombination.plan.train_split import TrainSplit


@dataclass(frozen=True, eq=False)
class EditCandidate:
    """One kind of edit for one group.

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
        Length of the visible seam, and area of what is filled or covered: candidates compare.
    """

    direction: str
    operator: str
    nodes: tuple[str, ...]
    hosts: np.ndarray
    donors: np.ndarray
    cost: float

    @property
    def kind(self) -> tuple[str, tuple[str, ...]]:
        """Operator and nodes."""
        return self.operator, self.nodes


@dataclass(frozen=True)
class Infeasible:
    """Why a group cannot be reached: a reason of the `planned_groups` contract, and a sentence."""

    reason: str
    sentence: str


class EditCandidates:
    """Finds the kinds of edit that fill groups of one train split.

    Parameters
    ----------
    split : TrainSplit
    roles : Roles
    layouts : Layouts
        Rows as in `split`.
    members : mapping of str to sequence of str
        Node → its leaves.
    operators : sequence of str
        Those allowed.
    """

    def __init__(
        self,
        split: TrainSplit,
        roles: Roles,
        layouts: Layouts,
        members: Mapping[str, Sequence[str]],
        operators: Sequence[str],
    ) -> None:
        self._labels = split.labels
        self._values = split.values
        self._known = split.known
        self._attributes = split.attributes
        self._label_name = split.label_name
        self._roles = roles
        self._layouts = layouts
        self._operators = sorted(set(operators))
        self._moved = {
            attribute: tuple(dict.fromkeys(x for n in roles.attribute_nodes.get(attribute, ())
                                       for x in members.get(n, (n,))))
            for attribute in self._attributes
        }  # fmt: skip
        self._label_moved = tuple(
            dict.fromkeys(x for n in roles.label_nodes for x in members.get(n, (n,)))
        )

    def into(
        self, label: str, values: Sequence[str]
    ) -> tuple[list[EditCandidate], Infeasible | None]:
        """All candidates for a group, the cheapest first; without any, why there is none."""
        target = np.array(list(values), dtype=object)
        found = self._attribute_swaps(label, target)
        if not (
            self._moves_all_foreground()
            and any(c.nodes == (self._layouts.background,) for c in found)
        ):
            found += self._label_swaps(label, target)
        found.sort(key=lambda c: (c.cost, c.direction, c.operator, c.nodes))
        return (found, None) if found else ([], self._why_not(label, target))

    def within(
        self, operator: str, nodes: tuple[str, ...], members: np.ndarray
    ) -> EditCandidate | None:
        """The same edit between two records of one group."""
        has = self._layouts.any_present(nodes)
        allowed = {*self._operators, *(OPERATORS[o].exchange for o in self._operators)}
        operator = OPERATORS[operator].exchange or operator
        own = members[has[members]]
        if len(own) < 2 or operator not in allowed:
            return None
        return EditCandidate("within_group", operator, nodes, own, own, self._cost(operator, nodes))

    def identity(
        self, operator: str, nodes: tuple[str, ...], rows: np.ndarray
    ) -> EditCandidate | None:
        """The same edit with one image that has the nodes as donor and host."""
        operator = OPERATORS[operator].exchange or operator
        own = rows[self._layouts.any_present(nodes)[rows]]
        if not len(own):
            return None
        return EditCandidate("identity", operator, nodes, own, own[:0], self._cost(operator, nodes))

    def _moves_all_foreground(self) -> bool:
        """Whether moving the label moves all that stands before the background: then exchanging
        the background gives the same samples, without a hole where the host's foreground was."""
        front = {leaf for leaf in self._layouts.leaves if leaf != self._layouts.background}
        return bool(front) and front <= set(self._label_moved)

    def _attribute_swaps(self, label: str, target: np.ndarray) -> list[EditCandidate]:
        same_label = self._labels == label
        differs = (self._values != target) | ~self._known
        known = self._known.all(axis=1)
        found: list[EditCandidate] = []
        places = range(len(self._attributes))
        for size in range(1, len(self._attributes) + 1):
            for pattern in combinations(places, size):
                moved = [self._moved[self._attributes[p]] for p in pattern]
                if not all(moved):
                    continue
                nodes = tuple(dict.fromkeys(leaf for leaves in moved for leaf in leaves))
                if set(nodes) & set(self._label_moved):
                    continue
                wanted = np.isin(np.arange(len(self._attributes)), pattern)
                hosts = same_label & known & (differs == wanted).all(axis=1)
                # Other attributes that the same leaves encode come along: the donor's must fit too.
                touched = [p for p in places if set(self._moved[self._attributes[p]]) & set(nodes)]
                donors = self._known[:, touched].all(1) & ~differs[:, touched].any(1)
                rules = []
                for place in touched:
                    for rule in self._roles.presence.get(self._attributes[place], ()):
                        rules.append((rule, str(target[place])))
                        donors &= self._agrees(rule, self._values[:, place])
                        hosts &= self._agrees(rule, self._values[:, place])
                found += self._by_operator("swap_attribute", nodes, hosts, donors, rules)
        return found

    def _label_swaps(self, label: str, target: np.ndarray) -> list[EditCandidate]:
        nodes = self._label_moved
        if not nodes:
            return []
        known = np.array([value is not None for value in self._labels], bool)
        same_attributes = (self._known & (self._values == target)).all(axis=1)
        hosts = same_attributes & known & (self._labels != label)
        donors = self._labels == label
        rules = [(rule, label) for rule in self._roles.label_presence]
        for rule, _ in rules:
            donors &= self._agrees(rule, self._labels)
            hosts &= self._agrees(rule, self._labels)
        return self._by_operator("swap_label", nodes, hosts, donors, rules)

    def _by_operator(
        self,
        direction: str,
        nodes: tuple[str, ...],
        hosts: np.ndarray,
        donors: np.ndarray,
        rules: Sequence[tuple[Presence, str]],
    ) -> list[EditCandidate]:
        """Candidates of one move, one for each operator that host and donor allow.

        Parameters
        ----------
        rules : sequence of (Presence, str)
            Presences that encode a value, with the value that the sample is to have.
        """
        has = self._layouts.any_present(nodes, {r.leaf: r.least_area for r, _ in rules})
        gone = {rule.leaf for rule, value in rules if not rule.present.get(value, True)}
        move = Move(
            direction,
            nodes,
            hosts,
            donors,
            has,
            presence=bool(rules),
            vanishes=gone == set(nodes),
            background=nodes == (self._layouts.background,),
        )
        found = []
        for name in self._operators:
            fitting = OPERATORS[name].feasible(move)
            if fitting is not None and fitting.hosts.any() and fitting.donors.any():
                rows = np.flatnonzero(fitting.hosts), np.flatnonzero(fitting.donors)
                cost = self._cost(name, nodes)
                found.append(EditCandidate(direction, name, nodes, *rows, cost))
        if move.background and any(OPERATORS[c.operator].moves_pixels for c in found):
            # Scenery in the colors of another one is none that there is: another one is.
            found = [c for c in found if OPERATORS[c.operator].moves_pixels]
        return found

    def _agrees(self, rule: Presence, values: np.ndarray) -> np.ndarray:
        """Records whose segment is there, or not, as the rule expects for their value."""
        expected = np.array([rule.present.get(str(value), False) for value in values], bool)
        return self._layouts.present(rule.leaf, rule.least_area) == expected

    def _cost(self, operator: str, nodes: tuple[str, ...]) -> float:
        cost = OPERATORS[operator].seam_weight * self._layouts.seam(nodes)
        if OPERATORS[operator].covers:
            cost += sum(self._layouts.mean_area(leaf) for leaf in nodes)
        return cost

    def _why_not(self, label: str, target: np.ndarray) -> Infeasible:
        named = ", ".join(map(str, target))
        if not (self._labels == label).any():
            return Infeasible("no_host", f"no train record has {self._label_name} {label}")
        same_attributes = (self._known & (self._values == target)).all(axis=1)
        for place, attribute in enumerate(self._attributes):
            if not (self._known[:, place] & (self._values[:, place] == target[place])).any():
                return Infeasible("no_donor", f"no train record has {attribute} {target[place]}")
        unmoved = [attribute for attribute in self._attributes if not self._moved[attribute]]
        if unmoved and not self._label_moved:
            return Infeasible(
                "no_node",
                f"no node encodes {', '.join(unmoved)} clearly enough to be moved, and none "
                f"encodes {self._label_name}",
            )
        if not self._label_moved and not same_attributes.any() and unmoved:
            return Infeasible("no_node", f"no node encodes {', '.join(unmoved)}")
        if unmoved:
            return Infeasible(
                "no_host",
                f"no train record with {named} has another {self._label_name} and the segments "
                f"that encode it, and no node encodes {', '.join(unmoved)} clearly enough to be "
                "moved",
            )
        if not any(OPERATORS[name].moves_pixels for name in self._operators):
            return Infeasible(
                "no_operator", "recoloring alone, the one operator allowed, cannot do it"
            )
        return Infeasible(
            "no_donor",
            "no two train records fit as host and donor: the segments that encode "
            f"{', '.join([*self._attributes, self._label_name])} are missing, or the allowed "
            "operators cannot move them",
        )
