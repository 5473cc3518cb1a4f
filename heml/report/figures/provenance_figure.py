"""One figure: a row of the dataset beside its host and donors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from heml.parts.wording import DIRECTION_WORDS, moved_words
from heml.recombination.operator import OPERATORS
from heml.report.drawing.style import MUTED, bare, new_figure

if TYPE_CHECKING:
    from heml.dataset.provenance import Provenance


def family_figure(
    origin: Provenance, image: np.ndarray, parents: Sequence[tuple[str, np.ndarray | None]]
) -> Figure:
    """The row's image after those of its parents.

    Parameters
    ----------
    origin : Provenance
    image : uint8 array (H, W, 3)
    parents : sequence of (str, uint8 array (H, W, 3) or None)
        Title and image; None if the parent is not in the dataset.
    """
    panels = [*parents, (origin.image_id, image)]
    with new_figure(3.6) as figure:
        for axes, (title, shown) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            bare(axes)
            axes.set_title(_short(title, 96 // len(panels)), loc="center", fontsize=9)
            if shown is None:
                axes.text(0.5, 0.5, "not in this dataset", ha="center", color=MUTED)
            else:
                axes.imshow(shown)
        if origin.operator is None:
            words = f"{origin.origin}, {origin.split}: {origin.group}"
        else:
            nodes = moved_words(origin.nodes, origin.recolored_nodes)
            direction = DIRECTION_WORDS.get(str(origin.direction), origin.direction)
            operator = OPERATORS[origin.operator].words
            words = f"{operator} of {nodes}, {direction}: {origin.group}"
        figure.suptitle(words, fontsize=10)
    return figure


def _short(text: str, most: int) -> str:
    """Text without its middle if it is longer than there is room: ids differ at both ends."""
    if len(text) <= most:
        return text
    end = (most - 1) * 2 // 3
    return f"{text[: most - 1 - end]}…{text[-end:]}"
