"""One look for every figure: colors, sizes, and how a figure becomes bytes.

Colors are those of Okabe and Ito, which people with any color vision tell apart; what color says
is always said by words or shape too. No picture content here.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import text_to_path
from PIL import Image

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
#: Points, of the words below a figure's title.
NOTE_SIZE = 9.5
#: Bytes of a picture in the Dagster UI, where it is stored with every materialization.
SMALL = 150_000

_STYLE: dict[Any, Any] = {
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

#: Figure → encoded bytes.
Encoder = Callable[[Figure], bytes]


def _style(theme: Theme) -> dict[Any, Any]:
    return _STYLE | {
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


def pixels(figure: Figure, scale: float = 1.0) -> Image.Image:
    """The drawn figure, `scale` times its nominal size."""
    with rc_context(_STYLE):
        figure.set_dpi(DPI * scale)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def small_png(figure: Figure) -> bytes:
    """PNG of at most `SMALL` bytes: fewer colors first, then fewer pixels."""
    image = pixels(figure)
    data = _png(image)
    scale = 1.0
    while len(data) > SMALL and scale > 0.3:
        data = _png(_fewer_colors(image))
        scale *= 0.85
        image = pixels(figure, scale)
    return data


def sharp_webp(figure: Figure) -> bytes:
    """Lossless WebP at twice the nominal size: charts for screens with small pixels."""
    buffer = io.BytesIO()
    pixels(figure, 2).save(buffer, "WEBP", lossless=True, quality=60, method=4)
    return buffer.getvalue()


def photo_webp(figure: Figure) -> bytes:
    """Lossy WebP at twice the nominal size, for figures that hold photographs."""
    buffer = io.BytesIO()
    pixels(figure, 2).save(buffer, "WEBP", quality=82, method=4)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _fewer_colors(image: Image.Image) -> Image.Image:
    """At most 160 colors; those of flat areas (bars, legends, text) stay exactly as they are."""
    colors, counts = np.unique(np.asarray(image).reshape(-1, 3), axis=0, return_counts=True)
    common = counts >= 60
    flat = colors[common][np.argsort(-counts[common], kind="stable")][:64]
    photo = np.asarray(image.quantize(96, Image.Quantize.MEDIANCUT).getpalette()).reshape(-1, 3)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([flat, photo[:96]]).astype(np.uint8).tobytes())
    # Pillow matches colors roughly, so the flat ones are put in by hand.
    indices = np.asarray(image.quantize(palette=palette, dither=Image.Dither.NONE)).copy()
    packed = _packed(np.asarray(image))
    for number, color in enumerate(_packed(flat)):
        indices[packed == color] = number
    result = Image.fromarray(indices, "P")
    result.putpalette(palette.getpalette() or [])
    return result


def _packed(colors: np.ndarray) -> np.ndarray:
    """RGB in one number, int32 (...)."""
    return colors.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1])


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


def say(figure: Figure, title: str, note: str = "", theme: Theme = LIGHT) -> None:
    """A title on the left and, below it, how to read the figure; the axes get the rest.

    Words that need more lines than at the usual width make the figure higher.

    Parameters
    ----------
    note : str
        Plain words; long ones are wrapped.
    """
    width, height = map(float, figure.get_size_inches())
    titles = textwrap.wrap(title, round(8.2 * width)) or [""]
    lines = _wrapped(note, width)
    usual = len(_wrapped(note, WIDTH))
    height += 0.22 * (len(titles) - 1) + 0.18 * (len(lines) - usual)
    figure.set_size_inches(width, height)
    for number, line in enumerate(titles):
        below = 0.08 + 0.22 * number
        figure.text(0.01, 1 - below / height, line, va="top", fontsize=12.5, fontweight="bold")
    start = 0.36 + 0.22 * (len(titles) - 1)
    for number, line in enumerate(lines):
        below = start + 0.18 * number
        figure.text(0.01, 1 - below / height, line, va="top", fontsize=NOTE_SIZE, color=theme.muted)
    used = (start + 0.04 + 0.18 * len(lines)) / height
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0.0, 0.0, 1.0, 1.0 - used))


def _wrapped(note: str, width: float) -> list[str]:
    """Lines that fit the width of a figure, measured: letters are of very different widths."""
    font = FontProperties(family=_STYLE["font.family"], size=NOTE_SIZE)
    # Letters are set on whole pixels, which makes a line longer by up to 8%.
    room = 0.98 * width * 72 / 1.08
    lines = [""]
    for word in note.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_to_path.get_text_width_height_descent(longer, font, ismath=False)[0] <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line]
