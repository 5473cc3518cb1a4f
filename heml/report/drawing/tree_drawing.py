"""Drawing a taxonomy as a tree of boxes: the root on the left, one line per leaf.

Knows positions and boxes, not their content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from heml.report.drawing.style import WIDTH, Color, ink_on
from heml.report.drawing.theme import LIGHT, Theme
from heml.taxonomy import Taxonomy

#: Height of a line of boxes in inches, and the gap between columns in widths of a column.
LINE_HEIGHT, GAP = 0.5, 0.12
_BOX_HEIGHT = 0.8


@dataclass(frozen=True)
class Box:
    """What one node's box shows.

    Parameters
    ----------
    title, text : str
        First line, bold, and second line.
    fill : color
    dashed : bool
        For nodes that have nothing to show.
    images : sequence of uint8 arrays (S, S, 3)
        Small images at the left of the box.
    """

    title: str
    text: str = ""
    fill: Color = "#ffffff"
    dashed: bool = False
    images: Sequence[np.ndarray] = field(default=())


def tree_height(taxonomy: Taxonomy) -> float:
    """Inches that the drawn tree needs."""
    return LINE_HEIGHT * len(taxonomy.leaves) + 0.1


def places(taxonomy: Taxonomy) -> dict[str, tuple[int, float]]:
    """Column (depth below the root) and line of every node; a branch is amid its children."""
    result: dict[str, tuple[int, float]] = {}
    lines = iter(range(len(taxonomy.leaves)))

    def put(node: str, depth: int) -> float:
        children = taxonomy.children(node)
        line = np.mean([put(child, depth + 1) for child in children]) if children else next(lines)
        result[node] = depth, float(line)
        return float(line)

    put(taxonomy.root, 0)
    return result


def draw_tree(
    axes: Axes, taxonomy: Taxonomy, boxes: Mapping[str, Box], theme: Theme = LIGHT
) -> None:
    """Fills axes with the tree.

    Parameters
    ----------
    axes : matplotlib Axes
        Of height `tree_height`.
    boxes : mapping of node to Box
    theme : Theme, default LIGHT
    """
    axes.set_axis_off()
    where = places(taxonomy)
    columns = 1 + max(depth for depth, _ in where.values())
    axes.set_xlim(-0.03, columns - GAP + 0.03)
    axes.set_ylim(len(taxonomy.leaves) - 0.45, -0.55)
    for node, (depth, line) in where.items():
        for child in taxonomy.children(node):
            to_depth, to_line = where[child]
            start, bend, stop = depth + 1 - GAP, depth + 1 - GAP / 2, to_depth
            lines = [line, line, to_line, to_line]
            axes.plot([start, bend, bend, stop], lines, color=theme.gray, lw=1, zorder=1)
    for node, (depth, line) in where.items():
        _draw_box(axes, depth, line, boxes[node], theme)


def _draw_box(axes: Axes, left: float, line: float, box: Box, theme: Theme) -> None:
    height = _BOX_HEIGHT
    axes.add_patch(
        FancyBboxPatch(
            (left, line - height / 2),
            1 - GAP,
            height,
            boxstyle="round,pad=0,rounding_size=0.06",
            mutation_aspect=2,
            facecolor=box.fill,
            edgecolor=theme.gray if box.dashed else theme.ink,
            linewidth=0.8,
            linestyle=(0, (3, 2)) if box.dashed else "-",
            zorder=2,
        )
    )
    text_left = left + 0.04
    # Pixels per unit differ between the axes; the small images are to be square.
    columns = axes.get_xlim()[1]
    inch = WIDTH / columns
    square = 0.66 * LINE_HEIGHT / inch
    for image in box.images:
        extent = (text_left, text_left + square, line + 0.33, line - 0.33)
        axes.imshow(image, extent=extent, aspect="auto", zorder=3, interpolation="bilinear")
        axes.add_patch(
            FancyBboxPatch(
                (text_left, line - 0.33),
                square,
                0.66,
                boxstyle="square,pad=0",
                facecolor="none",
                edgecolor=theme.line,
                linewidth=0.5,
                zorder=4,
            )
        )
        text_left += square + 0.02
    color = ink_on(box.fill)
    room = 72 * inch * (left + 1 - GAP - text_left - 0.03)
    # Bold letters are about 0.68 of the font's size wide on average, regular ones 0.6.
    size = min(9.5, room / (0.68 * max(len(box.title), 1)))
    text_size = min(8.5, room / (0.6 * max(len(box.text), 1)))
    up = 0.17 if box.text else 0
    axes.text(
        text_left, line - up, box.title, va="center", fontsize=size, fontweight="bold",
        color=color, zorder=5,
    )  # fmt: skip
    if box.text:
        axes.text(
            text_left, line + 0.2, box.text, va="center", fontsize=text_size, color=color, zorder=5
        )
