"""How a drawn figure becomes bytes: small PNGs for the Dagster UI, WebP for the report."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from heml.report.drawing.style import DPI, STYLE

#: Bytes of an image in the Dagster UI, where it is stored with every materialization.
SMALL = 150_000

#: Figure → encoded bytes.
Encoder = Callable[[Figure], bytes]


def pixels(figure: Figure, scale: float = 1.0) -> Image.Image:
    """The drawn figure, `scale` times its nominal size."""
    with rc_context(STYLE):
        figure.set_dpi(DPI * scale)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def small_png(figure: Figure) -> bytes:
    """PNG of at most `SMALL` bytes: fewer colors first, then fewer pixels."""
    image = pixels(figure)
    data = _png(image)
    if len(data) <= SMALL:
        return data
    scale, data = 1.0, _png(_fewer_colors(image))
    while len(data) > SMALL and scale > 0.3:
        scale *= min(0.9, (SMALL / len(data)) ** 0.5)
        data = _png(_fewer_colors(pixels(figure, scale)))
    return data


def sharp_webp(figure: Figure) -> bytes:
    """Lossless WebP at twice the nominal size: charts for screens with small pixels."""
    buffer = io.BytesIO()
    pixels(figure, 2).save(buffer, "WEBP", lossless=True, quality=20, method=4)
    return buffer.getvalue()


def photo_webp(figure: Figure) -> bytes:
    """Lossy WebP at twice the nominal size, for figures that hold photographs."""
    buffer = io.BytesIO()
    pixels(figure, 2).save(buffer, "WEBP", quality=82, method=2)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _fewer_colors(image: Image.Image) -> Image.Image:
    """At most 160 colors; those of flat areas (bars, legends, text) stay exactly as they are."""
    packed = _packed(np.asarray(image))
    colors, counts = np.unique(packed, return_counts=True)
    common = counts >= 60
    flat = colors[common][np.argsort(-counts[common], kind="stable")][:64]
    channels = np.stack([flat >> 16, flat >> 8 & 255, flat & 255], axis=1)
    photo = np.asarray(image.quantize(96, Image.Quantize.MEDIANCUT).getpalette()).reshape(-1, 3)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([channels, photo[:96]]).astype(np.uint8).tobytes())
    # Pillow matches colors roughly, so the flat ones are put in by hand.
    indices = np.asarray(image.quantize(palette=palette, dither=Image.Dither.NONE)).copy()
    for number, color in enumerate(flat):
        indices[packed == color] = number
    result = Image.fromarray(indices, "P")
    result.putpalette(palette.getpalette() or [])
    return result


def _packed(colors: np.ndarray) -> np.ndarray:
    """RGB in one number, int32 (...)."""
    return colors.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1])
