"""Figures of two images, drawn from a tree and the images themselves: for notebooks and the report.

Every function gives a matplotlib figure. Images are (image, segments) as `MetricTree.explain` takes
them; those of a store: `heml.tree.image_records.Records`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from heml.metrics.views import node_view, union
from heml.parts.wording import distance_words
from heml.report.drawing.canvas import axes_at, canvas, place_image
from heml.report.drawing.heading import add_heading, heading_height, label_width
from heml.report.drawing.store_images import fitted
from heml.report.drawing.style import WIDTH, new_figure
from heml.report.drawing.theme import LIGHT, Theme
from heml.report.drawing.tree_drawing import GAP, LINE_HEIGHT, Box, draw_tree, places, tree_height
from heml.taxonomy import Taxonomy
from heml.tree.explanation import NodeExplanation, PairExplanation
from heml.tree.inputs import Segmented, read_segmented
from heml.tree.metric_tree import MetricTree, Which

#: Pixels of a node's view in the tree, of a segment in the strip, and of a whole image.
THUMB, SEGMENT, WHOLE = 72, 220, 300
STRIP_COLUMNS, NARROW_COLUMNS = 7, 3
#: Bars of the contribution figure; smaller ones are summed up.
MOST_SHARES = 10
NAMES = ("1st", "2nd")

_SIGNS = {"similar": "≈", "different": "≠"}
_ABSENT = {
    "absent in both": "in neither",
    "absent in the first": "only in 2nd",
    "absent in the second": "only in 1st",
}
_Read = tuple[np.ndarray, dict[str, np.ndarray]]


def verdict(node: NodeExplanation) -> str:
    """A node's verdict in a word or two."""
    if node.distance is None:
        return _ABSENT.get(node.state, node.state)
    return "similar" if node.similar else "different"


def _fill(node: NodeExplanation, theme: Theme) -> str:
    if node.distance is None:
        return theme.absent
    return theme.similar if node.similar else theme.different


def _read(tree: MetricTree, *images: Segmented) -> list[_Read]:
    return [read_segmented(image, tree.taxonomy, tree.classes) for image in images]


def _view(image: _Read, node: str, taxonomy: Taxonomy, side: int) -> np.ndarray | None:
    """What a node sees of an image, uint8 (side, side, 3); None if it is absent."""
    mask = union(image[1], taxonomy.classes_of(node))
    return None if mask is None else node_view(image[0], mask, side)[:3].transpose(1, 2, 0)


def _blank(side: int, theme: Theme) -> np.ndarray:
    return np.broadcast_to(_rgb(theme.hole), (side, side, 3))


def _columns(width: float) -> int:
    """Segments in a line of a figure."""
    return STRIP_COLUMNS if width == WIDTH else NARROW_COLUMNS


def _rgb(color: str) -> np.ndarray:
    return np.round(np.array(to_rgb(color)) * 255).astype(np.uint8)


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
    images, taxonomy = _read(tree, first, second), tree.taxonomy
    boxes = {}
    for node in explanation.nodes:
        views = [_view(image, node.node, taxonomy, THUMB) for image in images]
        word = verdict(node)
        boxes[node.node] = Box(
            node.node,
            word if node.distance is None else f"{distance_words(node.distance)} {_SIGNS[word]}",
            _fill(node, theme),
            dashed=node.distance is None,
            images=[_blank(THUMB, theme) if view is None else view for view in views],
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


def _beside_root(axes: Axes, taxonomy: Taxonomy, images: Sequence[_Read], theme: Theme) -> None:
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
    images, taxonomy = _read(tree, first, second), tree.taxonomy
    columns = _columns(width)
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
                _place_view(axes, _view(image, leaf, taxonomy, SEGMENT), x, top, side, theme)
            node = explanation.node(leaf)
            distance = "" if node.distance is None else f"{distance_words(node.distance)}  "
            axes.text(
                middle,
                y + 2 * step + 0.1,
                distance + verdict(node),
                ha="center",
                va="center",
                fontsize=8.5,
                bbox={"facecolor": _fill(node, theme), "edgecolor": "none", "pad": 2.5},
            )
        return figure


def _place_view(
    axes: Axes, view: np.ndarray | None, left: float, top: float, side: float, theme: Theme
) -> None:
    if view is not None:
        place_image(axes, view, left, top, side, side)
        return
    axes.add_patch(Rectangle((left, top), side, side, facecolor=theme.hole))
    axes.text(left + side / 2, top + side / 2, "absent", ha="center", va="center", fontsize=9,
              color=theme.muted)  # fmt: skip


def draw_contributions(
    tree: MetricTree,
    first: Segmented,
    second: Segmented,
    explanation: PairExplanation | None = None,
    theme: Theme = LIGHT,
    width: float = WIDTH,
) -> Figure:
    """What every node adds to the total distance, in the plain and the debiased similarity.

    A waterfall: each bar begins where the one above ends, so the last one ends at the total.

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
    images = _read(tree, first, second)
    names, shares = contributions(explanation)
    beside = width == WIDTH
    note = (
        "Each node's share of the total distance; together they add up to the total. If the total "
        "is left of the dashed line, the images more likely have the same label."
    )
    bars, gap = 0.34 * (len(names) + 1.4), 0.2
    image_side = min(1.5, width / 2 - 0.45)
    longest = 0.1 + max(map(label_width, [*names, "total"]))
    used = heading_height(note)
    below = used + bars + 0.4 if beside else used + image_side + 0.1 + 2 * (bars + 0.5)
    with new_figure(below, theme, width) as figure:
        used = add_heading(figure, "What makes the two images differ", note, theme)
        axes = canvas(figure, used)
        step = min(image_side, bars / 2 + 0.1) if beside else image_side
        for place, (image, _), name in zip(range(2), images, NAMES, strict=True):
            x, y = (0, place * (step + 0.1)) if beside else (place * width / 2, 0)
            axes.text(x + 0.15, y + step / 2, name, rotation=90, ha="center", va="center",
                      fontsize=9, color=theme.muted)  # fmt: skip
            place_image(axes, fitted(image, WHOLE, WHOLE), x + 0.3, y, step, step)
        widest = max(*explanation.totals.values(), *explanation.offsets.values(), 1e-9)
        left = longest + (step + 0.5 if beside else 0.1)
        room = (width - left - gap) / 2 - gap if beside else width - left - gap
        similarities: tuple[Which, ...] = ("plain", "debiased")
        for number, which in enumerate(similarities):
            x = left + number * (room + gap) if beside else left
            y = used + 0.3 + (0 if beside else step + 0.1 + number * (bars + 0.5))
            own = axes_at(figure, x, y, room, bars)
            color = theme.orange if which == "plain" else theme.blue
            _waterfall(own, shares[which], explanation, which, widest, color, theme)
            labels = [*names, "total"] if number == 0 or not beside else []
            for place, label in zip([*range(len(names)), len(names) + 0.3], labels, strict=False):
                own.text(-0.025 * widest, place, label, ha="right", va="center", clip_on=False)
        return figure


def _waterfall(
    axes: Axes,
    shares: Sequence[float],
    explanation: PairExplanation,
    which: Which,
    widest: float,
    color: str,
    theme: Theme,
) -> None:
    """Bars of one similarity, each where the one above ends, and its total."""
    values, total_at = np.array(shares), len(shares) + 0.3
    ends = np.cumsum(values)
    total, offset = explanation.totals[which], explanation.offsets[which]
    axes.barh(range(len(values)), values, left=ends - values, height=0.68, color=color)
    axes.barh([total_at], [total], height=0.68, color=theme.gray)
    for place, (value, end) in enumerate(zip(values, ends, strict=True)):
        if place < len(values) - 1:
            axes.plot([end] * 2, [place + 0.34, place + 0.66], color=theme.gray, lw=0.7)
        axes.text(end + widest * 0.02, place, f"{value:.2f}", va="center", fontsize=8.5)
    # The number stands right of the bar, or right of a dashed line that would cross it.
    crossed = 0 <= offset - total < 0.25 * widest
    beyond = offset if offset > 0 and crossed else total
    axes.text(beyond + widest * 0.02, total_at, f"{total:.2f}", va="center", fontsize=8.5)
    if offset > 0:
        axes.plot([offset] * 2, [total_at - 0.45, total_at + 0.45], color=theme.ink, lw=1.2,
                  linestyle=(0, (3, 2)))  # fmt: skip
    axes.set_xlim(0, widest * 1.18)
    axes.set_ylim(total_at + 0.5, -0.5)
    same = explanation.probability_same[which]
    axes.set_title(f"{which.capitalize()}: same label {same:.0%}")


def contributions(explanation: PairExplanation) -> tuple[list[str], dict[str, list[float]]]:
    """Names and contributions per similarity, largest first; the small ones as one last entry."""
    by_node = {node.node: node.contributions for node in explanation.nodes}
    order = sorted(by_node, key=lambda node: (-max(by_node[node].values()), node))
    shown = [node for node in order[:MOST_SHARES] if max(by_node[node].values()) >= 0.005]
    rest = [node for node in order if node not in shown]
    names = [*shown, *([f"{len(rest)} more"] if rest else [])]
    shares = {}
    for which in explanation.totals:
        values = [by_node[node][which] for node in shown]
        if rest:
            values.append(sum(by_node[node][which] for node in rest))
        shares[which] = values
    return names, shares


def draw_segments(
    taxonomy: Taxonomy,
    images: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]],
    theme: Theme = LIGHT,
    width: float = WIDTH,
) -> Figure:
    """Images, each followed by its segments where they are, on a plain background.

    Figure 3 of Andrews & Mishra.

    Parameters
    ----------
    taxonomy : Taxonomy
    images : sequence of (uint8 (H, W, 3), class name → bool (H, W))
    theme : Theme, default LIGHT
    width : float, default WIDTH
    """
    columns = _columns(width)
    aspect = min(float(np.median([image.shape[0] / image.shape[1] for image, _ in images])), 1.6)
    gap, name_height = 0.08, 0.24
    wide = (width - gap) / (columns + 1) - gap
    high = aspect * wide
    note = "The image, then the pixels of each of its segments, at their place."
    shown = [_segments_alone(image, masks, taxonomy, theme) for image, masks in images]
    lines = sum(-(-max(len(alone), 1) // columns) for alone in shown)
    height = heading_height(note) + lines * (name_height + high + gap)
    with new_figure(height, theme, width) as figure:
        axes = canvas(figure, add_heading(figure, "Segments, each alone", note, theme))
        top = name_height
        for (image, _), alone in zip(images, shown, strict=True):
            place_image(axes, fitted(image, SEGMENT, SEGMENT), gap, top, wide, high)
            if not alone:
                axes.text(wide + 2 * gap, top + high / 2, "no segments", color=theme.muted)
            for number, (leaf, pixels) in enumerate(alone):
                left = gap + (1 + number % columns) * (wide + gap)
                line_top = top + number // columns * (name_height + high + gap)
                axes.text(left + wide / 2, line_top - 0.05, leaf, ha="center", fontsize=9)
                place_image(axes, pixels, left, line_top, wide, high)
            top += -(-max(len(alone), 1) // columns) * (name_height + high + gap)
        return figure


def _segments_alone(
    image: np.ndarray, masks: Mapping[str, np.ndarray], taxonomy: Taxonomy, theme: Theme
) -> list[tuple[str, np.ndarray]]:
    """Leaves of an image, each with its pixels at their place on a plain background."""
    alone = []
    for leaf in taxonomy.leaves:
        mask = union(masks, taxonomy.classes_of(leaf))
        if mask is not None:
            pixels = np.where(mask[..., None], image, _rgb(theme.hole))
            alone.append((leaf, fitted(pixels, SEGMENT, SEGMENT)))
    return alone
