"""Remove: the host's segment is removed, and what it hid comes from a donor without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heml.recombination.operator import OPERATORS, Fitting, Move, Operator
from heml.recombination.operators.transplant import compute

if TYPE_CHECKING:
    from heml.recombination.compositing.place_segments import Transplant
    from heml.recombination.edit import Edit
    from heml.taxonomy import Taxonomy


def feasible(move: Move) -> Fitting | None:
    if move.background or not (move.presence and move.vanishes):
        # Removing a segment changes a value only if its presence is the value.
        return None
    return Fitting(move.hosts & move.has, move.donors & ~move.has)


def prepare(edit: Edit, taxonomy: Taxonomy) -> Transplant | None:
    from heml.recombination.compositing.place_segments import prepare_edit

    return prepare_edit(edit, taxonomy, removes=True)


OPERATORS.register(
    Operator(
        name="remove",
        rank=50,
        words="removal",
        description="The host's segment goes; what it hid comes from a donor without one.",
        feasible=feasible,
        prepare=prepare,
        # The same function: edits of both are computed in one batch.
        compute=compute,
        exchange="transplant",
    )
)
