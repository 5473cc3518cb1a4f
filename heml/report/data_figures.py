"""Figures of the input: images per cell, and images with their segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Patch

from heml.bias.coverage import cell_name
from heml.images import image_index
from heml.report.choose import examples_per_cell, train_examples
from heml.report.pictures import Pictures, fitted, leaf_colours, overlaid, side_by_side
from heml.report.style import MUTED, Encoder, bare, new_figure, say, small_png
from heml.store import Store
from heml.taxonomy import Taxonomy

PER_CELL = 7
MOST_CELLS = 8
SEGMENTED = 6
LEGEND_COLUMNS = 5


def images_figure(
    store: Store, label_name: str, groups: Sequence[str], encode: Encoder = small_png
) -> bytes:
    """Example train images of every cell (label × groups), with the cell's count.

    Parameters
    ----------
    store : Store
    label_name : str
        What the label is called in the input.
    groups : sequence of str
    encode : callable, default small_png
        How the figure becomes bytes.

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    index = image_index(store, list(groups))
    cells = examples_per_cell(index, groups, PER_CELL)
    total = sum(count for _, count, _ in cells)
    shown = sorted(cells, key=lambda cell: -cell[1])[:MOST_CELLS]
    pictures = Pictures(store)
    note = f"{total} train images; {PER_CELL} of each cell, evenly spread over the stored order."
    if len(cells) > len(shown):
        note += f" {len(cells) - len(shown)} smaller cells are not shown."
    with new_figure(0.62 + 1.14 * len(shown)) as figure:
        say(figure, "Train images by cell", note)
        grid = figure.subplots(
            len(shown), PER_CELL + 1, squeeze=False, width_ratios=[1.55, *[1] * PER_CELL]
        )
        for row, (key, count, ids) in zip(grid, shown, strict=True):
            for axes in row:
                bare(axes)
            row[0].axis("off")
            words = cell_name(label_name, key[0], groups, key[1:]).replace(" · ", "\n")
            row[0].text(0.03, 0.97, words, va="top", fontsize=9.5, transform=row[0].transAxes)
            text = f"{count} ({count / total:.1%})"
            row[0].text(0.03, 0.03, text, fontweight="bold", transform=row[0].transAxes)
            for axes, image_id in zip(row[1:], ids, strict=False):
                axes.imshow(fitted(pictures.image(image_id), 160, 160))
        return encode(figure)


def segments_figure(store: Store, taxonomy: Taxonomy, encode: Encoder = small_png) -> bytes:
    """A few images beside their segments, a legend of leaves, and how often classes are present.

    Parameters
    ----------
    store : Store
    taxonomy : Taxonomy
    encode : callable, default small_png

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    pictures = Pictures(store)
    ids = train_examples(image_index(store, []), [], SEGMENTED)
    presence = dict(store.summary("segments").get("presence", {}))
    of_leaf = {name: leaf for leaf in taxonomy.leaves for name in taxonomy.classes_of(leaf)}
    classes = sorted(
        (name for name in presence if name in of_leaf), key=lambda name: (-presence[name], name)
    )[:40]
    colours = leaf_colours(taxonomy)
    bars = max(1.2, 0.19 * len(classes) + 0.7)
    legend_lines = -(-len(taxonomy.leaves) // LEGEND_COLUMNS)
    with new_figure(max(3.9 + 0.22 * legend_lines, bars + 0.5)) as figure:
        say(figure, "Images and their segments")
        axes = figure.subplot_mosaic(
            [["images", "bars"], ["legend", "bars"]],
            width_ratios=[1.75, 1],
            height_ratios=[3, 0.22 * legend_lines],
        )
        left, right = axes["images"], axes["bars"]
        bare(left)
        axes["legend"].axis("off")
        rows = []
        for image_id in ids:
            image, masks = pictures.image(image_id), pictures.segments(image_id)
            rows.append(side_by_side([image, overlaid(image, masks, taxonomy)], 150))
        left.imshow(_tiled(rows, 2))
        handles = [Patch(color=colours[leaf], label=leaf) for leaf in taxonomy.leaves]
        axes["legend"].legend(
            handles=handles, loc="upper center", ncols=LEGEND_COLUMNS, fontsize=9, handlelength=1
        )
        places = np.arange(len(classes))
        shares = [presence[name] for name in classes]
        right.barh(places, shares, color=[colours[of_leaf[c]] for c in classes], height=0.7)
        right.set_yticks(places, classes, fontsize=8.5)
        right.invert_yaxis()
        right.set_xlim(0, 1.18)
        right.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])
        right.set_title("Share of images with the class")
        right.tick_params(length=0)
        right.spines["left"].set_visible(False)
        for place, share in zip(places.tolist(), shares, strict=True):
            right.text(share + 0.02, place, f"{share:.0%}", va="center", fontsize=8, color=MUTED)
        return encode(figure)


def _tiled(rows: list[np.ndarray], columns: int, gap: int = 12) -> np.ndarray:
    """Pictures of one height, `columns` in a line, on white."""
    lines = [side_by_side(rows[i : i + columns], 150, gap) for i in range(0, len(rows), columns)]
    width = max(line.shape[1] for line in lines)
    sheet = np.full((len(lines) * (150 + gap) - gap, width, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        top = number * (150 + gap)
        sheet[top : top + 150, : line.shape[1]] = line
    return sheet
