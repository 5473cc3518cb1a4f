"""A figure's title and the note below it, wrapped to the figure's width."""

from __future__ import annotations

import textwrap
from functools import lru_cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import text_to_path

from heml.report.drawing.style import STYLE, WIDTH
from heml.report.drawing.theme import LIGHT, Theme

#: Points, of the words below a figure's title.
NOTE_SIZE = 9.5
#: Inches between lines of a title, and of the words below it.
_TITLE, _NOTE = 0.22, 0.18


def add_heading(figure: Figure, title: str, note: str = "", theme: Theme = LIGHT) -> float:
    """Adds a title on the left and a note below it; the axes get the rest.

    A heading that needs more lines than at the usual width makes the figure higher.

    Parameters
    ----------
    note : str
        How to read the figure; wrapped.

    Returns
    -------
    float
        Inches that title and note take.
    """
    width, height = map(float, figure.get_size_inches())
    titles = textwrap.wrap(title, round(8.2 * width)) or [""]
    lines = _wrapped(note, width)
    usual = len(_wrapped(note, WIDTH))
    height += _TITLE * (len(titles) - 1) + _NOTE * (len(lines) - usual)
    figure.set_size_inches(width, height)
    for number, line in enumerate(titles):
        below = 0.08 + _TITLE * number
        figure.text(0.01, 1 - below / height, line, va="top", fontsize=12.5, fontweight="bold")
    start = 0.36 + _TITLE * (len(titles) - 1)
    for number, line in enumerate(lines):
        below = start + _NOTE * number
        figure.text(0.01, 1 - below / height, line, va="top", fontsize=NOTE_SIZE, color=theme.muted)
    used = start + 0.04 + _NOTE * len(lines)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0.0, 0.0, 1.0, 1.0 - used / height))
    return used


def heading_height(note: str) -> float:
    """Inches that a title of one line and a note take at the usual width."""
    return 0.4 + _NOTE * len(_wrapped(note, WIDTH))


def label_width(words: str, size: float = 10) -> float:
    """Inches that words take at a size in points."""
    return _length(words.split()) * size / NOTE_SIZE * 1.08 / 72


@lru_cache
def _wrapped(note: str, width: float) -> tuple[str, ...]:
    """Lines that fit the width of a figure, measured: letters are of very different widths."""
    # Letters are set on whole pixels, which makes a line longer by up to 8%.
    room = 0.98 * width * 72 / 1.08
    lines: list[list[str]] = [[]]
    for word in note.split():
        if lines[-1] and _length([*lines[-1], word]) > room:
            lines.append([])
        lines[-1].append(word)
    return tuple(" ".join(line) for line in lines if line)


def _length(words: list[str]) -> float:
    space = _width("n n") - 2 * _width("n")
    return sum(map(_width, words)) + space * (len(words) - 1)


@lru_cache(4096)
def _width(word: str) -> float:
    """Points that a word of a note takes."""
    font = FontProperties(family=STYLE["font.family"], size=NOTE_SIZE)
    return float(text_to_path.get_text_width_height_descent(word, font, ismath=False)[0])
