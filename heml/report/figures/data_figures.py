"""Figures of the input: images per group, and images with their segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from data_contracts.segments import SEGMENTS
from heml.images.groups import group_name
from heml.images.images_table import image_index
from heml.report.drawing.canvas import canvas, place_image
from heml.report.drawing.encoding import Encoder, small_png
from heml.report.drawing.heading import add_heading, heading_height
from heml.report.drawing.segments_alone import draw_segments
from heml.report.drawing.style import WIDTH, bare, new_figure
from heml.report.drawing.theme import LIGHT, Theme
from heml.report.drawing.thumbnails import fitted, leaf_colors, overlaid, side_by_side
from heml.report.figures.examples import examples_per_group, train_examples
from heml.report.figures.store_images import StoreImages
from heml.segmentation.segment_rows import ANNOTATED
from heml.storage.sharded_parquet import ShardedTable
from heml.storage.store import Store
from heml.taxonomy import Taxonomy
from heml.tree.image_records import Records

PER_GROUP = 7
MOST_GROUPS = 8
SEGMENTED = 6
#: Images of which every segment is shown alone.
ALONE = 2
LEGEND_COLUMNS, NARROW_LEGEND_COLUMNS = 5, 3
MOST_CLASSES = 22
#: Height of an image in pixels.
TILE = 220


def images_figure(
    store: Store, label_name: str, attributes: Sequence[str], encode: Encoder = small_png
) -> bytes:
    """Example train images of every group (label × attributes), with the group's count.

    Parameters
    ----------
    store : Store
    label_name : str
        What the label is called in the input.
    attributes : sequence of str
    encode : callable, default small_png
        How the figure becomes bytes.

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    index = image_index(store, list(attributes))
    groups = examples_per_group(index, attributes, PER_GROUP)
    total = sum(count for _, count, _ in groups)
    shown = sorted(groups, key=lambda group: -group[1])[:MOST_GROUPS]
    images = StoreImages(store)
    note = f"{total} train images; {PER_GROUP} of each group, evenly spread over the stored order."
    if len(groups) > len(shown):
        note += f" {len(groups) - len(shown)} smaller groups are not shown."
    words_width, gap, line = 1.6, 0.08, 1.14
    side = (WIDTH - words_width) / PER_GROUP - gap
    with new_figure(heading_height(note) + line * len(shown)) as figure:
        axes = canvas(figure, add_heading(figure, "Train images by group", note))
        for number, (key, count, ids) in enumerate(shown):
            top = number * line
            words = group_name(label_name, key[0], attributes, key[1:]).replace(" · ", "\n")
            axes.text(0.1, top + 0.05, words, va="top", fontsize=9.5)
            text = f"{count} ({count / total:.1%})"
            axes.text(0.1, top + line - 0.1, text, va="bottom", fontweight="bold")
            for place, image_id in enumerate(ids):
                image = fitted(images.image(image_id), 160, 160)
                place_image(axes, image, words_width + place * (side + gap), top, side, side)
        return encode(figure)


def segments_figure(
    store: Store,
    taxonomy: Taxonomy,
    encode: Encoder = small_png,
    theme: Theme = LIGHT,
    width: float = WIDTH,
) -> bytes:
    """A few images beside their segments, a legend of leaves, how often classes are present and
    how large they are where they are.

    Parameters
    ----------
    store : Store
    taxonomy : Taxonomy
    encode : callable, default small_png
    theme : Theme, default LIGHT
    width : float, default WIDTH

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    images = StoreImages(store)
    summary = store.summary("segments")
    presence, area = summary["presence"], summary["mean_area"]
    ids = _segmented_examples(store)
    of_leaf = {name: leaf for leaf in taxonomy.leaves for name in taxonomy.classes_of(leaf)}
    classes = sorted(
        (name for name in presence if name in of_leaf), key=lambda name: (-presence[name], name)
    )
    rest = len(classes) - MOST_CLASSES
    note = f"{rest} rarer classes have no bar. " if rest > 0 else ""
    if "mean_iou" in summary:
        note += (
            f"Mean IoU {summary['mean_iou']:.2f} ({summary['mean_iou_low']:.2f} to "
            f"{summary['mean_iou_high']:.2f}) on {summary['held_out_images']} held-out images."
        )
    classes = classes[:MOST_CLASSES]
    colors = leaf_colors(taxonomy)
    beside = width == WIDTH
    legend_columns = LEGEND_COLUMNS if beside else NARROW_LEGEND_COLUMNS
    legend = 0.22 * -(-len(taxonomy.leaves) // legend_columns)
    bars = max(3.6, 0.19 * len(classes) + 0.7)
    # Of the images: with the bars beside them as high as these are, else as wide as a phone.
    room = bars - 0.8 if beside else 2.6
    height = bars + legend if beside else room + legend + bars + 0.2
    with new_figure(height, theme, width) as figure:
        add_heading(figure, "Images and their segments", note, theme)
        if beside:
            axes = figure.subplot_mosaic(
                [["images", "presence", "area"], ["legend", "presence", "area"]],
                width_ratios=[1.9, 0.6, 0.4],
                height_ratios=[room, legend],
            )
        else:
            # Parts of their own: the names of the bars take no room from the images.
            parts = figure.add_gridspec(2, 1, height_ratios=[room + legend, bars - 0.8])
            upper, lower = figure.add_subfigure(parts[0]), figure.add_subfigure(parts[1])
            axes = upper.subplot_mosaic([["images"], ["legend"]], height_ratios=[room, legend])
            axes |= lower.subplot_mosaic([["presence", "area"]], width_ratios=[0.6, 0.4])
        pairs = []
        for image_id in ids:
            image, masks = images.image(image_id), images.segments(image_id)
            pairs.append(side_by_side([image, overlaid(image, masks, taxonomy)], TILE))
        bare(axes["images"])
        axes["images"].imshow(_tiled(pairs, (5.4 if beside else width) / room, theme.paper))
        axes["legend"].axis("off")
        axes["legend"].legend(
            handles=[Patch(color=colors[leaf], label=leaf) for leaf in taxonomy.leaves],
            loc="upper center",
            ncols=legend_columns,
            fontsize=9,
            handlelength=1,
        )
        tints = [colors[of_leaf[name]] for name in classes]
        _bars(axes["presence"], [presence[name] for name in classes], tints, "In images", theme)
        axes["presence"].set_yticks(range(len(classes)), classes, fontsize=8.5)
        _bars(axes["area"], [area.get(name, 0.0) for name in classes], tints, "Mean area", theme)
        return encode(figure)


def segments_alone_figure(
    store: Store,
    taxonomy: Taxonomy,
    encode: Encoder = small_png,
    theme: Theme = LIGHT,
    width: float = WIDTH,
) -> bytes:
    """A few train images, each with its segments alone at their place.

    Parameters
    ----------
    store : Store
    taxonomy : Taxonomy
    encode : callable, default small_png
    theme : Theme, default LIGHT
    width : float, default WIDTH

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    records = Records(store.root)
    ids = train_examples(image_index(store, []), [], ALONE)
    return encode(draw_segments(taxonomy, [records[image_id] for image_id in ids], theme, width))


def _segmented_examples(store: Store) -> list[str]:
    """Images that a network segmented, evenly spread; train images where masks were given."""
    segmented: dict[str, None] = {}
    rows = ShardedTable(store.segments, SEGMENTS)
    for batch in rows.batches(["image_id", "segmenter"], 65_536):
        by_network = batch.filter(pc.not_equal(batch["segmenter"], ANNOTATED))
        segmented |= dict.fromkeys(by_network["image_id"].to_pylist())
    if not segmented:
        return train_examples(image_index(store, []), [], SEGMENTED)
    ids = list(segmented)
    places = np.linspace(0, len(ids) - 1, min(SEGMENTED, len(ids))).round().astype(int)
    return [ids[place] for place in places]


def _bars(axes: Axes, shares: list[float], colors: list[str], title: str, theme: Theme) -> None:
    places = range(len(shares))
    longest = max(shares, default=0.0) or 1.0
    axes.barh(places, shares, color=colors, height=0.7)
    axes.set_yticks([])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.5 * longest)  # room for the numbers
    axes.set_xticks([])
    axes.set_title(title, fontsize=9)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    for place, share in zip(places, shares, strict=True):
        text = f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
        axes.text(share + 0.04 * longest, place, text, va="center", fontsize=8, color=theme.muted)


def _tiled(images: list[np.ndarray], aspect: float, paper: str, gap: int = 12) -> np.ndarray:
    """Images of height `TILE` in lines on paper, as large as fits a box of width / height."""
    sheets = []
    for columns in range(1, len(images) + 1):
        starts = range(0, len(images), columns)
        lines = [side_by_side(images[i : i + columns], TILE, gap) for i in starts]
        width = max(line.shape[1] for line in lines)
        sheet = np.empty((len(lines) * (TILE + gap) - gap, width, 3), np.uint8)
        sheet[:] = np.round(np.array(to_rgb(paper)) * 255)
        for number, line in enumerate(lines):
            top = number * (TILE + gap)
            sheet[top : top + TILE, : line.shape[1]] = line
        sheets.append(sheet)
    return max(sheets, key=lambda sheet: min(aspect / sheet.shape[1], 1 / sheet.shape[0]))
