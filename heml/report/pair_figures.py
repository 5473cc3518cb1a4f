"""Figures that explain a pair of train images: node by node, segment by segment, share by share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from heml.report.pictures import Pictures, fitted
from heml.report.style import (
    BLUE,
    DIFFERENT,
    GREY,
    MUTED,
    ORANGE,
    PALE_GREY,
    SIMILAR,
    Encoder,
    bare,
    new_figure,
    say,
    small_png,
)
from heml.report.tree_drawing import Box, draw_tree, tree_height
from heml.report.words import distance_words
from heml.store import Store
from heml.taxonomy import Taxonomy
from heml.tree.explanation import NodeExplanation, PairExplanation
from heml.tree.tree import MetricTree

#: Pixels of a node's view in the tree, and of a segment in the strip.
THUMB, SEGMENT = 72, 220
STRIP_COLUMNS = 7
#: Nodes of the contribution figure; smaller ones are summed up.
MOST_SHARES = 10


_SIGNS = {"similar": "≈", "different": "≠"}


def explained(
    store: Store, first_id: str, second_id: str, tree: MetricTree | None
) -> tuple[MetricTree, PairExplanation]:
    """The tree, read if it is not given, and what it says of two train images."""
    tree = tree or MetricTree.load(store.metric_tree)
    return tree, tree.explain(first_id, second_id)


def verdict(node: NodeExplanation) -> str:
    """What a node says, in a word or two."""
    if node.distance is None:
        return {
            "absent in both": "in neither",
            "absent in the first": "only in 2nd",
            "absent in the second": "only in 1st",
        }.get(node.state, node.state)
    return "similar" if node.similar else "different"


def _fill(node: NodeExplanation) -> str:
    if node.distance is None:
        return PALE_GREY
    return SIMILAR if node.similar else DIFFERENT


def pair_figure(
    store: Store,
    taxonomy: Taxonomy,
    first_id: str,
    second_id: str,
    tree: MetricTree | None = None,
    encode: Encoder = small_png,
) -> bytes:
    """The hierarchy of a pair comparison: both views and the distance at every node.

    Parameters
    ----------
    store : Store
    taxonomy : Taxonomy
    first_id, second_id : str
        Train images.
    tree : MetricTree, optional
        Spares reading it from the store.
    encode : callable, default small_png

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    _, explanation = explained(store, first_id, second_id, tree)
    pictures = Pictures(store)
    boxes = {}
    for node in explanation.nodes:
        views = [pictures.view(i, node.node, taxonomy, THUMB) for i in (first_id, second_id)]
        said = verdict(node)
        boxes[node.node] = Box(
            node.node,
            said if node.distance is None else f"{distance_words(node.distance)} {_SIGNS[said]}",
            _fill(node),
            dashed=node.distance is None,
            pictures=[np.full((THUMB, THUMB, 3), 255, np.uint8) if v is None else v for v in views],
        )
    with new_figure(tree_height(taxonomy) + 0.8) as figure:
        say(
            figure,
            "Two images compared, node by node",
            "What each node sees of both images, and their distance (0 same, 1 opposite). ≈ blue: "
            "below the node's own threshold, similar; ≠ orange: above it, different.",
        )
        draw_tree(figure.subplots(), taxonomy, boxes)
        return encode(figure)


def segment_strip_figure(
    store: Store,
    taxonomy: Taxonomy,
    first_id: str,
    second_id: str,
    tree: MetricTree | None = None,
    encode: Encoder = small_png,
) -> bytes:
    """Single segments of two images above each other, with their distances.

    Parameters
    ----------
    store : Store
    taxonomy : Taxonomy
    first_id, second_id : str
        Train images.
    tree : MetricTree, optional
        Spares reading it from the store.
    encode : callable, default small_png

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    _, explanation = explained(store, first_id, second_id, tree)
    by_node = {node.node: node for node in explanation.nodes}
    leaves = [leaf for leaf in taxonomy.leaves if by_node[leaf].state != "absent in both"]
    absent = [leaf for leaf in taxonomy.leaves if leaf not in leaves]
    pictures = Pictures(store)
    lines = [leaves[i : i + STRIP_COLUMNS] for i in range(0, len(leaves), STRIP_COLUMNS)] or [[]]
    note = f"In neither image: {', '.join(absent)}." if absent else ""
    with new_figure(0.55 + 2.75 * len(lines)) as figure:
        say(figure, "Segment by segment", note)
        grid = figure.subplots(2 * len(lines), STRIP_COLUMNS + 1, squeeze=False,
                               width_ratios=[*[1] * STRIP_COLUMNS, 0.05])  # fmt: skip
        for axes in grid.flat:
            bare(axes)
        for number, line in enumerate(lines):
            for column, leaf in enumerate(line):
                upper, lower = grid[2 * number, column], grid[2 * number + 1, column]
                upper.set_title(leaf, loc="center", fontsize=9.5)
                for axes, image_id in ((upper, first_id), (lower, second_id)):
                    _show(axes, pictures.view(image_id, leaf, taxonomy, SEGMENT))
                node = by_node[leaf]
                distance = "" if node.distance is None else f"{distance_words(node.distance)}  "
                lower.set_xlabel(
                    distance + verdict(node),
                    fontsize=8.5,
                    color="#1b2430",
                    bbox={"facecolor": _fill(node), "edgecolor": "none", "pad": 2.5},
                )
        return encode(figure)


def _show(axes: Axes, view: np.ndarray | None) -> None:
    if view is None:
        axes.imshow(np.full((SEGMENT, SEGMENT, 3), 245, np.uint8))
        axes.text(SEGMENT / 2, SEGMENT / 2, "absent", ha="center", va="center", color=MUTED,
                  fontsize=9)  # fmt: skip
    else:
        axes.imshow(view)


def contribution_figure(
    store: Store,
    taxonomy: Taxonomy,
    first_id: str,
    second_id: str,
    tree: MetricTree | None = None,
    encode: Encoder = small_png,
) -> bytes:
    """What every node adds to the total distance, in the plain and the debiased similarity.

    Parameters
    ----------
    store : Store
    taxonomy : Taxonomy
    first_id, second_id : str
        Train images.
    tree : MetricTree, optional
        Spares reading it from the store.
    encode : callable, default small_png

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    tree, explanation = explained(store, first_id, second_id, tree)
    names, shares = _shares(explanation, taxonomy.nodes)
    pictures = Pictures(store)
    places = np.arange(len(names))
    with new_figure(0.34 * len(names) + 2.0) as figure:
        say(
            figure,
            "What makes the two images differ",
            "Each node's share of the total distance; the shares sum to the total. A total left of "
            "the dashed line makes one label more likely than two.",
        )
        axes = figure.subplot_mosaic(
            [["first", "plain", "debiased"], ["second", "plain", "debiased"]],
            width_ratios=[0.5, 1, 1],
        )
        for name, image_id in (("first", first_id), ("second", second_id)):
            bare(axes[name])
            axes[name].imshow(fitted(pictures.image(image_id), 260, 260))
        widest = max(max(max(s), t) for s, t in zip(shares.values(), explanation.totals.values(),
                                                    strict=True))  # fmt: skip
        for which, colour in (("plain", ORANGE), ("debiased", BLUE)):
            own = axes[which]
            offset = tree.similarities[which].offset
            values = [*shares[which], explanation.totals[which]]
            own.barh([*places, len(names) + 0.3], values, height=0.68,
                     color=[*[colour] * len(names), GREY])  # fmt: skip
            for place, value in zip([*places, len(names) + 0.3], values, strict=True):
                beyond = max(value, offset) if place > places[-1] else value
                own.text(beyond + widest * 0.02, place, f"{value:.2f}", va="center", fontsize=8.5)
            if offset > 0:
                own.plot([offset] * 2, [len(names) - 0.15, len(names) + 0.75], color="#1b2430",
                         lw=1.2, linestyle=(0, (3, 2)))  # fmt: skip
            own.set_xlim(0, max(widest, offset) * 1.16)
            own.set_yticks([*places, len(names) + 0.3], [*names, "total"])
            own.invert_yaxis()
            own.tick_params(length=0)
            own.set_xticks([])
            own.spines[["left", "bottom"]].set_visible(False)
            same = explanation.probability_same[which]
            own.set_title(f"{which.capitalize()}: same label {same:.0%}")
        axes["debiased"].set_yticklabels([])
        return encode(figure)


def _shares(
    explanation: PairExplanation, nodes: Sequence[str]
) -> tuple[list[str], dict[str, list[float]]]:
    """Names and contributions per similarity, largest first; the small ones as one last entry."""
    by_node = {node.node: node.contributions for node in explanation.nodes}
    order = sorted(nodes, key=lambda node: (-max(by_node[node].values()), node))
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
