"""Figure of one trained node: how its training went, and what it sees."""

from __future__ import annotations

from itertools import islice

import numpy as np
from matplotlib.ticker import MaxNLocator

from heml.images.images_table import image_index
from heml.report.drawing.canvas import axes_at, canvas, place_image
from heml.report.drawing.encoding import Encoder, small_png
from heml.report.drawing.heading import add_heading, heading_height
from heml.report.drawing.style import BLUE, MUTED, new_figure
from heml.report.figures.examples import train_examples
from heml.report.figures.store_images import StoreImages
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

VIEWS = 6


def node_figure(
    store: Store, node: str, taxonomy: Taxonomy | None = None, encode: Encoder = small_png
) -> bytes:
    """Learning curve of a node, and views of a few train images.

    Parameters
    ----------
    store : Store
    node : str
    taxonomy : Taxonomy, optional
        Says which pixels belong to the node; without it no views are shown.
    encode : callable, default small_png

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    summary = store.summary(f"metric/{node}")
    curve = summary.get("learning_curve") or []
    views: list[np.ndarray] = []
    side = int(summary["resolution"])
    if taxonomy is not None:
        images = StoreImages(store)
        # More are looked at than shown: a hat is in few images.
        candidates = train_examples(image_index(store, []), [], 60)
        found = (images.view(image_id, node, taxonomy, side) for image_id in candidates)
        views = list(islice((view for view in found if view is not None), VIEWS))
    state = summary["state"]
    note = (
        f"{summary['train_images']} train images have it. For {summary['precision_at_1']:.0%} "
        "of them the nearest other image has the same label, out of fold"
        if "precision_at_1" in summary
        else "Trained, but no image could be evaluated out of fold"
        if state == "trained"
        else f"Not trained: {state}"
    )
    note = f"{note}. It sees {side} × {side} pixels."
    with new_figure(heading_height(note) + 2.7) as figure:
        used = add_heading(figure, f"Node {node}", note)
        axes = canvas(figure, used)
        for number, view in enumerate(views):
            x, y = 5.0 + number % 3 * 1.3, 0.3 + number // 3 * 1.2
            place_image(axes, view, x, y, 1.15, 1.15)
        if views:
            axes.text(5.0, 0.2, "What it sees", fontsize=11, fontweight="bold")
        plot = axes_at(figure, 0.6, used + 0.3, 3.9, 1.9)
        plot.set_axis_on()
        plot.plot(range(1, len(curve) + 1), curve, color=BLUE, lw=2)
        plot.set_title("Mean loss")
        plot.set_xlabel("epoch")
        plot.grid(axis="y")
        plot.tick_params(length=0)
        plot.set_ylim(bottom=0)
        plot.xaxis.set_major_locator(MaxNLocator(integer=True))
        if not curve:
            plot.text(0.5, 0.5, "no training", ha="center", color=MUTED, transform=plot.transAxes)
        return encode(figure)
