"""Figure of images, each followed by its segments alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from heml.metrics.views import union
from heml.report.drawing.canvas import canvas, place_image
from heml.report.drawing.heading import add_heading, heading_height
from heml.report.drawing.pair_views import (
    SEGMENT,
    columns_in,
    rgb,
)
from heml.report.drawing.style import WIDTH, new_figure
from heml.report.drawing.theme import LIGHT, Theme
from heml.report.drawing.thumbnails import fitted
from heml.taxonomy import Taxonomy


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
    columns = columns_in(width)
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
            pixels = np.where(mask[..., None], image, rgb(theme.hole))
            alone.append((leaf, fitted(pixels, SEGMENT, SEGMENT)))
    return alone
