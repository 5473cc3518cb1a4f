"""Figure of a pair segment by segment.

Images are (image, segments) as `MetricTree.explain` takes them; those of a store:
`heml.tree.image_records.Records`.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from heml.parts.wording import distance_words
from heml.report.drawing.canvas import canvas, place_image
from heml.report.drawing.heading import add_heading, heading_height
from heml.report.drawing.pair_views import (
    NAMES,
    SEGMENT,
    columns_in,
    fill,
    read,
    verdict,
    view,
)
from heml.report.drawing.style import WIDTH, new_figure
from heml.report.drawing.theme import LIGHT, Theme
from heml.tree.explanation import PairExplanation
from heml.tree.inputs import Segmented
from heml.tree.metric_tree import MetricTree


def draw_segment_strip(
    tree: MetricTree,
    first: Segmented,
    second: Segmented,
    explanation: PairExplanation | None = None,
    theme: Theme = LIGHT,
    width: float = WIDTH,
) -> Figure:
    """Single segments of two images above each other, with their distances.

    Figure 5 of Andrews & Mishra.

    Parameters
    ----------
    tree : MetricTree
    first, second : (image, segments)
    explanation : PairExplanation, optional
        Of the pair; asked of the tree if not given.
    theme : Theme, default LIGHT
    width : float, default WIDTH
    """
    explanation = explanation or tree.explain(first, second)
    images, taxonomy = read(tree, first, second), tree.taxonomy
    columns = columns_in(width)
    leaves = [n for n in taxonomy.leaves if explanation.node(n).state != "absent in both"]
    absent = [leaf for leaf in taxonomy.leaves if leaf not in leaves]
    note = f"In neither image: {', '.join(absent)}." if absent else ""
    left, gap = 0.28, 0.12
    step = (width - left - gap) / columns
    side = step - gap
    # Name, both views, verdict.
    line_height = 0.24 + 2 * step + 0.3
    lines = max(-(-len(leaves) // columns), 1)
    with new_figure(heading_height(note) + lines * line_height, theme, width) as figure:
        axes = canvas(figure, add_heading(figure, "Segment by segment", note, theme))
        for number, leaf in enumerate(leaves):
            x, y = left + number % columns * step, number // columns * line_height + 0.24
            middle = x + side / 2
            axes.text(middle, y - 0.05, leaf, ha="center", fontsize=9.5, fontweight="bold")
            for image, name, top in zip(images, NAMES, (y, y + step), strict=True):
                if number % columns == 0:
                    axes.text(
                        left / 2, top + side / 2, name, ha="center", va="center", rotation=90,
                        fontsize=9, color=theme.muted,
                    )  # fmt: skip
                _place(axes, view(image, leaf, taxonomy, SEGMENT), x, top, side, theme)
            node = explanation.node(leaf)
            distance = "" if node.distance is None else f"{distance_words(node.distance)}  "
            axes.text(
                middle,
                y + 2 * step + 0.1,
                distance + verdict(node),
                ha="center",
                va="center",
                fontsize=8.5,
                bbox={"facecolor": fill(node, theme), "edgecolor": "none", "pad": 2.5},
            )
        return figure


def _place(
    axes: Axes, seen: np.ndarray | None, left: float, top: float, side: float, theme: Theme
) -> None:
    if seen is not None:
        place_image(axes, seen, left, top, side, side)
        return
    axes.add_patch(Rectangle((left, top), side, side, facecolor=theme.hole))
    axes.text(left + side / 2, top + side / 2, "absent", ha="center", va="center", fontsize=9,
              color=theme.muted)  # fmt: skip
