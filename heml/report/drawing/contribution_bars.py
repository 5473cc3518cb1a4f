"""Figure of what every node adds to the distance of a pair.

Images are (image, segments) as `MetricTree.explain` takes them; those of a store:
`heml.tree.image_records.Records`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heml.report.drawing.canvas import axes_at, canvas, place_image
from heml.report.drawing.heading import add_heading, heading_height, label_width
from heml.report.drawing.pair_views import (
    NAMES,
    WHOLE,
    read,
)
from heml.report.drawing.style import WIDTH, new_figure
from heml.report.drawing.theme import LIGHT, Theme
from heml.report.drawing.thumbnails import fitted
from heml.tree.explanation import PairExplanation
from heml.tree.inputs import Segmented
from heml.tree.metric_tree import MetricTree, Which

#: Bars of the contribution figure; smaller ones are summed up.
MOST_SHARES = 10


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
    images = read(tree, first, second)
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
