"""Insert: a segment of the donor is put where the host has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heml.recombination.operator import OPERATORS, Fitting, Move, Operator
from heml.recombination.operators.transplant import compute

if TYPE_CHECKING:
    from heml.recombination.compositing.place_segments import Transplant
    from heml.recombination.edit import Edit
    from heml.taxonomy import Taxonomy


def feasible(move: Move) -> Fitting | None:
    if move.background:
        return None
    return Fitting(move.hosts & ~move.has, move.donors & move.has)


def prepare(edit: Edit, taxonomy: Taxonomy) -> Transplant | None:
    from heml.recombination.compositing.place_segments import prepare_edit

    return prepare_edit(edit, taxonomy)


OPERATORS.register(
    Operator(
        name="insert",
        rank=40,
        words="insertion",
        description="A segment of the donor is put where the host has none.",
        feasible=feasible,
        prepare=prepare,
        # The same function: edits of both are computed in one batch.
        compute=compute,
        exchange="transplant",
    )
)
