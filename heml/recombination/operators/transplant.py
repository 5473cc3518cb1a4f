"""Transplant: the donor's segments take the place of the host's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from heml.recombination.operator import OPERATORS, Fitting, Move, Operator

if TYPE_CHECKING:
    import torch

    from heml.recombination.compositing.place_segments import Transplant
    from heml.recombination.edit import Edit
    from heml.recombination.imaging.segmented_image import Recombined
    from heml.taxonomy import Taxonomy


def feasible(move: Move) -> Fitting | None:
    if move.background:
        return None
    return Fitting(move.hosts & move.has, move.donors & move.has)


def prepare(edit: Edit, taxonomy: Taxonomy) -> Transplant | None:
    from heml.recombination.compositing.place_segments import prepare_edit

    return prepare_edit(edit, taxonomy)


def compute(edits: Sequence[Any], taxonomy: Taxonomy, device: torch.device) -> list[Recombined]:
    from heml.recombination.compositing.move_segments import transplant

    return transplant(edits, taxonomy, device)


OPERATORS.register(
    Operator(
        name="transplant",
        rank=10,
        words="transplant",
        description="The donor's segments take the place of the host's.",
        feasible=feasible,
        prepare=prepare,
        compute=compute,
    )
)
