"""Colors of figures on light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colors of one page, each readable on `paper`.

    Parameters
    ----------
    paper, ink, muted, line, gray : str
        Page, text, lesser text, frames, and what stands back.
    blue, orange : str
        The two contrasting colors: plain orange, debiased blue.
    similar, different, absent : str
        Fills of boxes, dark or light enough for `ink` on them.
    hole : str
        Where an image shows nothing.
    """

    paper: str
    ink: str
    muted: str
    line: str
    gray: str
    blue: str
    orange: str
    similar: str
    different: str
    absent: str
    hole: str


LIGHT = Theme(
    paper="#ffffff", ink="#1b2430", muted="#566170", line="#cfd6dd", gray="#8a949f",
    blue="#0072b2", orange="#d55e00", similar="#d7e8f4", different="#fbe0cf", absent="#eef0f2",
    hole="#eef0f2",
)  # fmt: skip
DARK = Theme(
    paper="#12161b", ink="#e7ebef", muted="#a4afbb", line="#333c46", gray="#7d8894",
    blue="#56b4e9", orange="#f0813a", similar="#163a52", different="#5a2d12", absent="#222931",
    hole="#222931",
)  # fmt: skip
