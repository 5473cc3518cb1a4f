"""Images at fixed places of one axes, in inches: a tenth of the time of axes for each image."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def canvas(figure: Figure, used: float) -> Axes:
    """Bare axes over all of the figure but the `used` inches at its top, in inches from their top
    left corner."""
    figure.set_layout_engine("none")
    width, height = map(float, figure.get_size_inches())
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0 - used / height))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height - used, 0)
    return axes


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes without ticks and frame at a place in inches from the figure's top left corner."""
    whole_width, whole = map(float, figure.get_size_inches())
    box = (left / whole_width, 1 - (top + height) / whole, width / whole_width, height / whole)
    axes = figure.add_axes(box)
    axes.set_axis_off()
    return axes


def place_image(
    axes: Axes, image: np.ndarray, left: float, top: float, width: float, height: float
) -> None:
    """An image on a canvas, at its own proportions amid a box."""
    scale = min(width / image.shape[1], height / image.shape[0])
    wide, high = image.shape[1] * scale, image.shape[0] * scale
    left, top = left + (width - wide) / 2, top + (height - high) / 2
    axes.imshow(image, extent=(left, left + wide, top + high, top), aspect="auto")
