"""The plan of one group: what it has, what it should have, and the edits that bring it there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from heml.recombination.plan.assignment import Assigned
from heml.recombination.plan.candidates import Infeasible


@dataclass(frozen=True)
class PlannedEdits:
    """Edits of one purpose, and why they are fewer than wanted, if they are."""

    edits: list[Assigned] = field(default_factory=list)
    shortage: Infeasible | None = None

    def __len__(self) -> int:
        return len(self.edits)


@dataclass
class GroupPlan:
    """One group while it is planned.

    Parameters
    ----------
    number : int
        Place of the group; its random numbers follow from it.
    name : str
        The group in words.
    label : str
    attributes : tuple of str
        Attribute values.
    n_real, n_target : int
        Train records that it has, and records that it should have.
    n_balancing, n_within_group : int
        Samples wanted from other groups' records and from its own.
    n_asked : int
        Most `n_balancing` before it was lowered to what is possible.
    balancing, within_group : PlannedEdits
        Spares included.
    """

    number: int
    name: str
    label: str
    attributes: tuple[str, ...]
    n_real: int
    n_target: int
    n_balancing: int
    n_within_group: int = 0
    n_asked: int = 0
    balancing: PlannedEdits = field(default_factory=PlannedEdits)
    within_group: PlannedEdits = field(default_factory=PlannedEdits)

    @classmethod
    def of(cls, number: int, group: Mapping[Any, Any]) -> GroupPlan:
        """From a row of `wanted_balancing`."""
        return cls(
            number,
            str(group["group"]),
            str(group["label"]),
            tuple(str(value) for value in group["attributes"]),
            int(group["n"]),
            int(group["n_target"]),
            int(group["n_balancing"]),
            n_asked=int(group["n_balancing"]),
        )

    def want(self, n_balancing: int) -> None:
        """Changes how many balancing samples are wanted."""
        self.n_balancing = n_balancing
        self.n_asked = max(self.n_asked, n_balancing)

    @property
    def balancing_samples(self) -> int:
        """Wanted balancing samples for which there is an edit."""
        return min(self.n_balancing, len(self.balancing))

    @property
    def within_group_samples(self) -> int:
        """Wanted within-group samples for which there is an edit."""
        return min(self.n_within_group, len(self.within_group))

    @property
    def n_reached(self) -> int:
        """Records if no gate refuses. Within-group samples count: they fill a group as well."""
        return self.n_real + self.balancing_samples + self.within_group_samples
