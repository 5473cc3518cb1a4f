"""Background: the host's foreground before the donor's scenery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from heml.recombination.operator import OPERATORS, Fitting, Move, Operator

if TYPE_CHECKING:
    import torch

    from heml.recombination.compositing.exchange_background import Exchange
    from heml.recombination.edit import Edit
    from heml.recombination.imaging.segmented_image import Recombined
    from heml.taxonomy import Taxonomy


def feasible(move: Move) -> Fitting | None:
    if not move.background:
        return None
    return Fitting(move.hosts & move.has, move.donors & move.has)


def prepare(edit: Edit, taxonomy: Taxonomy) -> Exchange | None:
    from heml.recombination.compositing import exchange_background

    return exchange_background.prepare(edit.host, edit.donor, edit.nodes, taxonomy)


def compute(edits: Sequence[Any], taxonomy: Taxonomy, device: torch.device) -> list[Recombined]:
    from heml.recombination.compositing.exchange_background import exchange_background

    return exchange_background(edits, device)


OPERATORS.register(
    Operator(
        name="background",
        rank=30,
        words="exchange",
        description="The host's foreground is put before the donor's background.",
        feasible=feasible,
        prepare=prepare,
        compute=compute,
        # An exchanged background lies behind the host's outline.
        seam_weight=0.5,
        covers=False,
    )
)
