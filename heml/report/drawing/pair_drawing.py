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

from heml.metrics.views import node_view, union
from heml.parts.wording import distance_words
from heml.report.drawing.store_images import fitted
from heml.report.drawing.style import WIDTH, bare, new_figure, say
from heml.report.drawing.theme import LIGHT, Theme
from heml.report.drawing.tree_drawing import GAP, LINE_HEIGHT, Box, draw_tree, places, tree_height
from heml.taxonomy import Taxonomy
from heml.tree.explanation import NodeExplanation, PairExplanation
from heml.tree.inputs import Segmented, read_segmented
from heml.tree.metric_tree import MetricTree

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
    """What a node says, in a word or two."""
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
        said = verdict(node)
        boxes[node.node] = Box(
            node.node,
            said if node.distance is None else f"{distance_words(node.distance)} {_SIGNS[said]}",
            _fill(node, theme),
            dashed=node.distance is None,
            pictures=[_blank(THUMB, theme) if view is None else view for view in views],
        )
    with new_figure(tree_height(taxonomy) + 0.8, theme) as figure:
        say(
            figure,
            "Two images compared, node by node",
            "What each node sees of both images, and their distance (0 same, 1 opposite). ≈ blue: "
            "below the node's own threshold, similar; ≠ orange: above it, different.",
            theme,
        )
        axes = figure.subplots()
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
        picture = fitted(image, WHOLE, WHOLE)
        height, width = picture.shape[:2]
        scale = min((1 - GAP) * inch / width, (room - 0.35) * LINE_HEIGHT / height)
        wide, high = width * scale / inch, height * scale / LINE_HEIGHT
        top = start + room - 0.35 - high if start < line else start
        axes.imshow(picture, extent=(0, wide, top + high, top), aspect="auto", zorder=3)
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
    lines = [leaves[i : i + columns] for i in range(0, len(leaves), columns)] or [[]]
    note = f"In neither image: {', '.join(absent)}." if absent else ""
    # A line is two pictures, each as high as wide, and three lines of words.
    height = 0.35 + 2 * (width - 0.3) / columns
    with new_figure(0.55 + height * len(lines), theme, width) as figure:
        say(figure, "Segment by segment", note, theme)
        # Below each line of pairs a little room, or its distances touch the next line's names.
        grid = figure.subplots(3 * len(lines), columns + 1, squeeze=False,
                               width_ratios=[*[1] * columns, 0.05],
                               height_ratios=[1, 1, 0.06] * len(lines))  # fmt: skip
        for axes in grid.flat:
            bare(axes)
        for number, line in enumerate(lines):
            for row, name in zip(grid[3 * number : 3 * number + 2, 0], NAMES, strict=True):
                row.set_ylabel(name, fontsize=9)
            for column, leaf in enumerate(line):
                upper, lower = grid[3 * number, column], grid[3 * number + 1, column]
                upper.set_title(leaf, loc="center", fontsize=9.5)
                for axes, image in zip((upper, lower), images, strict=True):
                    _show(axes, _view(image, leaf, taxonomy, SEGMENT), theme)
                node = explanation.node(leaf)
                distance = "" if node.distance is None else f"{distance_words(node.distance)}  "
                lower.set_xlabel(
                    distance + verdict(node),
                    fontsize=8.5,
                    color=theme.ink,
                    bbox={"facecolor": _fill(node, theme), "edgecolor": "none", "pad": 2.5},
                )
        return figure


def _show(axes: Axes, view: np.ndarray | None, theme: Theme) -> None:
    axes.imshow(_blank(SEGMENT, theme) if view is None else view)
    if view is None:
        axes.text(SEGMENT / 2, SEGMENT / 2, "absent", ha="center", va="center", fontsize=9,
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
    places_of, total_at = np.arange(len(names)), len(names) + 0.3
    beside = width == WIDTH
    bars = 0.34 * len(names) + 0.9
    with new_figure(bars + 1.1 if beside else 2 * bars + 2.6, theme, width) as figure:
        say(
            figure,
            "What makes the two images differ",
            "Each node's share of the total distance, one after the other; together they are the "
            "total. A total left of the dashed line makes one label more likely than two.",
            theme,
        )
        axes = (
            figure.subplot_mosaic(
                [["first", "plain", "debiased"], ["second", "plain", "debiased"]],
                width_ratios=[0.5, 1, 1],
            )
            if beside
            else figure.subplot_mosaic(
                [["first", "second"], ["plain", "plain"], ["debiased", "debiased"]],
                height_ratios=[1.4, bars, bars],
            )
        )
        for slot, (image, _), name in zip(("first", "second"), images, NAMES, strict=True):
            bare(axes[slot])
            axes[slot].imshow(fitted(image, WHOLE, WHOLE))
            axes[slot].set_ylabel(name, fontsize=9)
        widest = max(*explanation.totals.values(), *explanation.offsets.values(), 1e-9)
        for which, color in (("plain", theme.orange), ("debiased", theme.blue)):
            own, values = axes[which], np.array(shares[which])
            ends = np.cumsum(values)
            total, offset = explanation.totals[which], explanation.offsets[which]
            own.barh(places_of, values, left=ends - values, height=0.68, color=color)
            own.barh([total_at], [total], height=0.68, color=theme.gray)
            for place, value, end in zip(places_of.tolist(), values, ends, strict=True):
                if place < places_of[-1]:
                    own.plot([end] * 2, [place + 0.34, place + 0.66], color=theme.gray, lw=0.7)
                own.text(end + widest * 0.02, place, f"{value:.2f}", va="center", fontsize=8.5)
            beyond = max(total, offset) if offset > 0 else total
            own.text(beyond + widest * 0.02, total_at, f"{total:.2f}", va="center", fontsize=8.5)
            if offset > 0:
                own.plot([offset] * 2, [total_at - 0.45, total_at + 0.45], color=theme.ink, lw=1.2,
                         linestyle=(0, (3, 2)))  # fmt: skip
            own.set_xlim(0, widest * 1.18)
            own.set_yticks([*places_of, total_at], [*names, "total"])
            own.invert_yaxis()
            own.tick_params(length=0)
            own.set_xticks([])
            own.spines[["left", "bottom"]].set_visible(False)
            same = explanation.probability_same[which]
            own.set_title(f"{which.capitalize()}: same label {same:.0%}")
        if beside:
            axes["debiased"].set_yticklabels([])
        return figure


def contributions(explanation: PairExplanation) -> tuple[list[str], dict[str, list[float]]]:
    """Names and contributions per similarity, largest first; the small ones as one last entry."""
    by_node = {node.node: node.contributions for node in explanation.nodes}
    order = sorted(by_node, key=lambda node: (-max(by_node[node].values()), node))
    shown = [node for node in order[:MOST_SHARES] if max(by_node[node].values()) >= 0.005]
    rest = [node for node in order if node not in shown]
    names = [*shown, *([f"{len(rest)} others"] if rest else [])]
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
    groups: list[list[tuple[str, np.ndarray]]] = []
    for image, masks in images:
        shown = [("", fitted(image, SEGMENT, SEGMENT))]
        for leaf in taxonomy.leaves:
            mask = union(masks, taxonomy.classes_of(leaf))
            if mask is not None:
                alone = np.where(mask[..., None], image, _rgb(theme.hole))
                shown.append((leaf, fitted(alone, SEGMENT, SEGMENT)))
        # The whole image stands before every line of its segments.
        segments = shown[1:] or [("no segments", np.asarray(_blank(SEGMENT, theme)))]
        groups += [
            [shown[0] if start == 0 else ("", np.zeros((0, 0, 3), np.uint8)), *line]
            for start in range(0, len(segments), columns)
            for line in [segments[start : start + columns]]
        ]
    aspect = float(np.median([image.shape[0] / image.shape[1] for image, _ in images]))
    height = len(groups) * (0.26 + min(aspect, 1.6) * 0.93 * width / (columns + 1))
    with new_figure(0.75 + height, theme, width) as figure:
        say(
            figure,
            "Segments, each alone",
            "The image, then the pixels of each of its segments, at their place.",
            theme,
        )
        grid = figure.subplots(len(groups), columns + 1, squeeze=False)
        for axes_line, line in zip(grid, groups, strict=True):
            for axes in axes_line:
                bare(axes)
            for axes, (name, picture) in zip(axes_line, line, strict=False):
                if picture.size:
                    axes.imshow(picture)
                    axes.set_title(name, loc="center", fontsize=9, fontweight="normal")
        return figure
