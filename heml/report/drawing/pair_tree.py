"""Figure of a pair at every node of the tree.

Images are (image, segments) as `MetricTree.explain` takes them; those of a store:
`heml.tree.image_records.Records`.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heml.parts.wording import distance_words
from heml.report.drawing.canvas import canvas
from heml.report.drawing.heading import add_heading, heading_height
from heml.report.drawing.pair_views import (
    NAMES,
    THUMB,
    WHOLE,
    ReadImage,
    blank,
    fill,
    read,
    verdict,
    view,
)
from heml.report.drawing.style import WIDTH, new_figure
from heml.report.drawing.theme import LIGHT, Theme
from heml.report.drawing.thumbnails import fitted
from heml.report.drawing.tree_drawing import GAP, LINE_HEIGHT, Box, draw_tree, places, tree_height
from heml.taxonomy import Taxonomy
from heml.tree.explanation import PairExplanation
from heml.tree.inputs import Segmented
from heml.tree.metric_tree import MetricTree

_SIGNS = {"similar": "≈", "different": "≠"}


def draw_pair_tree(
    tree: MetricTree,
    first: Segmented,
    second: Segmented,
    explanation: PairExplanation | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """The hierarchy of a pair comparison: both views and the distance at every node.

    Figure 4 of Andrews & Mishra (arXiv 2407.04866), with each node's own verdict.

    Parameters
    ----------
    tree : MetricTree
    first, second : (image, segments)
    explanation : PairExplanation, optional
        Of the pair; asked of the tree if not given.
    theme : Theme, default LIGHT
    """
    explanation = explanation or tree.explain(first, second)
    images, taxonomy = read(tree, first, second), tree.taxonomy
    boxes = {}
    for node in explanation.nodes:
        views = [view(image, node.node, taxonomy, THUMB) for image in images]
        word = verdict(node)
        boxes[node.node] = Box(
            node.node,
            word if node.distance is None else f"{distance_words(node.distance)} {_SIGNS[word]}",
            fill(node, theme),
            dashed=node.distance is None,
            images=[blank(THUMB, theme) if seen is None else seen for seen in views],
        )
    note = (
        "What each node sees of both images, and their distance (0 same, 1 opposite). ≈ blue: "
        "below the node's own threshold, similar; ≠ orange: above it, different."
    )
    with new_figure(tree_height(taxonomy) + heading_height(note), theme) as figure:
        axes = canvas(figure, add_heading(figure, "Two images compared, node by node", note, theme))
        draw_tree(axes, taxonomy, boxes, theme)
        _beside_root(axes, taxonomy, images, theme)
        return figure


def _beside_root(axes: Axes, taxonomy: Taxonomy, images: Sequence[ReadImage], theme: Theme) -> None:
    """The whole images above and below the root's box, where there is room."""
    line = places(taxonomy)[taxonomy.root][1]
    above, below = line, len(taxonomy.leaves) - 1 - line  # lines
    room = min(above, below, 5.5) - 0.55
    if room < 1.5:
        return
    inch = WIDTH / axes.get_xlim()[1]
    for (image, _), name, start in zip(
        images, NAMES, (line - 0.55 - room, line + 0.9), strict=True
    ):
        thumbnail = fitted(image, WHOLE, WHOLE)
        height, width = thumbnail.shape[:2]
        scale = min((1 - GAP) * inch / width, (room - 0.35) * LINE_HEIGHT / height)
        wide, high = width * scale / inch, height * scale / LINE_HEIGHT
        top = start + room - 0.35 - high if start < line else start
        axes.imshow(thumbnail, extent=(0, wide, top + high, top), aspect="auto", zorder=3)
        axes.text(0, top - 0.1, name, fontsize=9, color=theme.muted, va="bottom")
