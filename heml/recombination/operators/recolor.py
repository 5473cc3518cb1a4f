"""Recolor: the host's segments get the donor's colors; shapes stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from heml.recombination.operator import OPERATORS, Fitting, Move, Operator

if TYPE_CHECKING:
    import torch

    from heml.recombination.compositing.recolor_segments import Recoloring
    from heml.recombination.edit import Edit
    from heml.recombination.imaging.segmented_image import Recombined
    from heml.taxonomy import Taxonomy


def feasible(move: Move) -> Fitting | None:
    if move.direction != "swap_attribute" or move.presence:
        # Segments that encode the label differ in shape: colors alone would not change it.
        return None
    return Fitting(move.hosts & move.has, move.donors & move.has)


def prepare(edit: Edit, taxonomy: Taxonomy) -> Recoloring | None:
    from heml.recombination.compositing import recolor_segments

    return recolor_segments.prepare(edit.host, edit.donor, edit.nodes, taxonomy)


def compute(edits: Sequence[Any], taxonomy: Taxonomy, device: torch.device) -> list[Recombined]:
    from heml.recombination.compositing.recolor_segments import recolor

    return recolor(edits, device)


OPERATORS.register(
    Operator(
        name="recolor",
        rank=20,
        words="recoloring",
        description="The host's segments get the donor's colors; shapes stay.",
        feasible=feasible,
        prepare=prepare,
        compute=compute,
        # A recolored segment keeps its own outline.
        seam_weight=0.25,
        covers=False,
        moves_pixels=False,
    )
)
