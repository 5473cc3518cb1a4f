"""A picture of a trial: images beside their segments in color, and a legend with what was found."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from heml.segmentation.trial import Trial, TriedImage
from heml.taxonomy import BACKGROUND

#: Height of a picture in pixels; of a line of text; between things; pictures beside each other.
_HEIGHT, _LINE, _GAP, _COLUMNS = 200, 20, 8, 3
#: Widest a picture may be, in heights, and the narrowest sheet.
_WIDEST, _NARROWEST = 2.0, 640
_OPACITY = 0.55
#: Colors go round the wheel by the golden angle, so that neighbors differ however many there are.
_GOLDEN = 0.381966
_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (120, 120, 120)


class LeafSummary(NamedTuple):
    """What was found of one leaf.

    Parameters
    ----------
    name : str
    share : float
        Of the images that have it, 0 to 1.
    area : float or None
        Mean share of the image's pixels where it is present.
    confidence : float or None
        Mean over the images that have it.
    doubted : int
        Images in which it is doubted.
    stability, word_agreement : float or None
        Means over the images for which they are known.
    """

    name: str
    share: float
    area: float | None
    confidence: float | None
    doubted: int
    stability: float | None = None
    word_agreement: float | None = None


def summarize(trial: Trial) -> list[LeafSummary]:
    """What was found of each leaf, in the order of the names."""
    found = []
    for name in trial.names:
        having = [image for image in trial.images if name in image.masks]
        areas = [float(image.masks[name].mean()) for image in having]
        sure = [image.confidence[name] for image in having]
        found.append(
            LeafSummary(
                name,
                len(having) / max(len(trial.images), 1),
                _mean(areas),
                _mean(sure),
                sum(name in image.doubts for image in having),
                _mean([i.stability[name] for i in trial.images if name in i.stability]),
                _mean([i.word_agreement[name] for i in trial.images if name in i.word_agreement]),
            )
        )
    return found


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def colors(names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """A color for each name, by its place; the background is gray."""
    found = {}
    for place, name in enumerate(names):
        hue = (0.02 + place * _GOLDEN) % 1
        light = (1.0, 0.7, 0.85)[place // 8 % 3]
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, light)
        found[name] = (round(255 * red), round(255 * green), round(255 * blue))
        if name.lower() == BACKGROUND:
            found[name] = _FAINT
    return found


def contact_sheet(trial: Trial, title: str) -> Image.Image:
    """The picture.

    Parameters
    ----------
    trial : Trial
    title : str
        First line.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    palette = colors(trial.names)
    tiles = [_tile(image, palette) for image in trial.images]
    columns = min(_COLUMNS, max(len(tiles), 1))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    width = max([sum(t.width + _GAP for t in row) + _GAP for row in rows] + [_NARROWEST])
    legend = _legend(trial, palette, title, width)
    height = legend.height + sum(_GAP + max(t.height for t in row) for row in rows) + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    sheet.paste(legend, (0, 0))
    top = legend.height + _GAP
    for row in rows:
        left = _GAP
        for tile in row:
            sheet.paste(tile, (left, top))
            left += tile.width + _GAP
        top += max(tile.height for tile in row) + _GAP
    return sheet


def overlay(image: TriedImage, palette: dict[str, tuple[int, int, int]]) -> np.ndarray:
    """The image with its segments in color.

    Parameters
    ----------
    image : TriedImage
    palette : dict of str to (int, int, int)

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        Doubted segments are striped.
    """
    shown = image.pixels.astype(np.float32)
    height, width = shown.shape[:2]
    stripes = (np.add.outer(np.arange(height), np.arange(width)) // max(height // 40, 2)) % 2 == 0
    for name, mask in image.masks.items():
        painted = mask & stripes if name in image.doubts else mask
        shown[painted] = (1 - _OPACITY) * shown[painted] + _OPACITY * np.array(palette[name])
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def _tile(image: TriedImage, palette: dict[str, tuple[int, int, int]]) -> Image.Image:
    height, width = image.pixels.shape[:2]
    size = max(1, min(round(width / height * _HEIGHT), round(_WIDEST * _HEIGHT))), _HEIGHT
    pictures = [
        Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
        for pixels in (image.pixels, overlay(image, palette))
    ]
    tile = Image.new("RGB", (2 * size[0] + 2, _HEIGHT + _LINE), _PAPER)
    tile.paste(pictures[0], (0, 0))
    tile.paste(pictures[1], (size[0] + 2, 0))
    font = ImageFont.load_default(12)
    draw = ImageDraw.Draw(tile)
    draw.text((0, _HEIGHT + 3), _fitting(_caption(image), tile.width, font), _FAINT, font)
    return tile


def _caption(image: TriedImage) -> str:
    """The least sure numbers first: a long name is cut off."""
    numbers = [
        f"{word} {min(of.values()):.2f}"
        for word, of in (("confidence", image.confidence), ("stability", image.stability))
        if of and any(value < 1 for value in of.values())
    ]
    return ", ".join(numbers) + ("; " if numbers else "") + image.image_id


def _legend(
    trial: Trial, palette: dict[str, tuple[int, int, int]], title: str, width: int
) -> Image.Image:
    made = ", ".join(filter(None, [trial.segmenter, trial.licence])) or "nothing found"
    lines = [title, f"{len(trial.images)} images; {made}", *trial.noticed]
    font, small = ImageFont.load_default(15), ImageFont.load_default(13)
    summaries = summarize(trial)
    entries = [f"{s.name}: {_numbers(s)}" for s in summaries]
    widest = max((int(small.getlength(text)) for text in entries), default=0) + _LINE + 3 * _GAP
    columns = max(1, (width - _GAP) // widest)
    height = _GAP + _LINE * (len(lines) + -(-len(entries) // columns)) + _GAP
    legend = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(legend)
    for number, line in enumerate(lines):
        used = small if number else font
        place = (_GAP, _GAP + _LINE * number)
        draw.text(place, _fitting(line, width - 2 * _GAP, used), _INK, used)
    for number, (summary, text) in enumerate(zip(summaries, entries, strict=True)):
        left = _GAP + number % columns * widest
        top = _GAP + _LINE * (len(lines) + number // columns)
        draw.rectangle((left, top + 3, left + 14, top + 16), palette[summary.name])
        draw.text((left + _LINE, top + 2), text, _INK if summary.share else _FAINT, small)
    return legend


def _numbers(summary: LeafSummary) -> str:
    if summary.area is None or summary.confidence is None:
        return "not found"
    return (
        f"in {summary.share:.0%}, {summary.area:.1%} of the area, confidence "
        f"{summary.confidence:.2f}"
        + ("" if summary.stability is None else f", stability {summary.stability:.2f}")
    )


def _fitting(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, its end cut off where it does not fit."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
