"""One look for every figure: colors, sizes, fonts.

Colors are those of Okabe and Ito, which are distinguishable with any color vision; what a color
means is also given by words or shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from heml.report.drawing.theme import LIGHT, Theme

INK, MUTED, LINE, PAPER = LIGHT.ink, LIGHT.muted, LIGHT.line, LIGHT.paper
BLUE, ORANGE, GRAY = LIGHT.blue, LIGHT.orange, LIGHT.gray
PALE_BLUE, PALE_ORANGE, PALE_GRAY = LIGHT.similar, LIGHT.different, LIGHT.absent

#: Aligned records, and what agrees; conflicting records, and what differs.
ALIGNED, CONFLICTING = BLUE, ORANGE
SIMILAR, DIFFERENT = PALE_BLUE, PALE_ORANGE

#: Bias score 0 to 1: paper to vermilion.
SCORES = LinearSegmentedColormap.from_list("scores", ["#ffffff", "#fbe0cf", "#f0a06a", "#c04a00"])

#: Inches; at `DPI` a figure is 900 pixels wide, or as wide as a phone shows it.
WIDTH, NARROW, DPI = 9.0, 3.6, 100
#: matplotlib's settings for every figure, whatever its theme.
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.parse_math": False,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
}


def _style(theme: Theme) -> dict[Any, Any]:
    return STYLE | {
        "axes.edgecolor": theme.line,
        "axes.labelcolor": theme.muted,
        "axes.facecolor": theme.paper,
        "text.color": theme.ink,
        "xtick.color": theme.line,
        "ytick.color": theme.line,
        "xtick.labelcolor": theme.muted,
        "ytick.labelcolor": theme.ink,
        "grid.color": theme.line,
        "figure.facecolor": theme.paper,
    }


@contextmanager
def new_figure(height: float, theme: Theme = LIGHT, width: float = WIDTH) -> Iterator[Figure]:
    """A figure of one of the common widths; the common style holds inside the block.

    Parameters
    ----------
    height : float
        In inches of 100 pixels.
    theme : Theme, default LIGHT
    width : float, default WIDTH
        `WIDTH` or `NARROW`.
    """
    with rc_context(_style(theme)):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


#: As matplotlib takes it: a name, "#rrggbb", or RGBA in [0, 1].
Color = str | tuple[float, float, float, float]


def ink_on(color: Color) -> str:
    """Dark or light text, whichever contrasts more with a background."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
    return INK if luminance > 0.2 else "#ffffff"


def bare(axes: Axes) -> None:
    """Leaves only what is drawn: no ticks, no frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
