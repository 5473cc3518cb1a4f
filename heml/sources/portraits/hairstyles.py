"""Hair styles: the choices, and the outlines they give on a head. Nothing is painted here."""

from dataclasses import dataclass

import numpy as np

from heml.sources.portraits.build import Head
from heml.sources.portraits.canvas import Color, Points, Rng, color, curve

# Hue, saturation and value: blond, golden, platinum, ginger, ash and silver; black, blue-black,
# brown, chestnut, auburn and espresso.
_TONES = {
    "light": (
        (0.118, 0.50, 0.90),
        (0.108, 0.58, 0.84),
        (0.125, 0.26, 0.94),
        (0.065, 0.62, 0.86),
        (0.110, 0.30, 0.78),
        (0.600, 0.06, 0.84),
    ),
    "dark": (
        (0.060, 0.25, 0.12),
        (0.640, 0.30, 0.17),
        (0.065, 0.50, 0.25),
        (0.050, 0.58, 0.30),
        (0.015, 0.62, 0.29),
        (0.075, 0.40, 0.18),
    ),
}

_FRONTS = ("high", "side", "curtain", "fringe", "peak", "swept")
CURLY = ("curly", "big_curls")
_STYLES = ("short", "quiff", "long", "wavy", "bob", "bun", "curly", "big_curls", "tail", "top_knot")


@dataclass(frozen=True)
class Hair:
    """One hair style, in head units; tone is no part of it.

    Attributes
    ----------
    style, front
        Words of the silhouette and of the hairline.
    volume
        How far the hair stands off the skull.
    side_end
        Height down to which hair covers the sides in front of the ears.
    flip
        1 or -1: the side of parting, tail or knot.
    part
        Where the parting is, across.
    curls
        Circles (n, 3) as x, y, radius that curly styles are made of.
    wave
        Amplitude of the strands' waves.
    """

    style: str
    front: str
    volume: float
    side_end: float
    flip: float
    part: float
    curls: Points
    wave: float


def choose_hair(rng: Rng) -> Hair:
    """Choose a style."""
    style = _STYLES[int(rng.integers(len(_STYLES)))]
    front = _FRONTS[int(rng.integers(len(_FRONTS)))]
    volume, side, flip = rng.uniform(0.11, 0.18), rng.random(), float(rng.choice([-1.0, 1.0]))
    part, wave = rng.uniform(0.12, 0.34), rng.random()
    jitter = rng.random((40, 3))
    if style in ("bun", "top_knot", "quiff", "tail"):
        front = {"fringe": "peak", "curtain": "high"}.get(front, front)
    if style in CURLY:
        front = {"curtain": "high", "swept": "high", "side": "peak"}.get(front, front)
    ends = {"long": 1.25, "wavy": 1.3, "bob": 0.78, "tail": 0.1, "bun": 0.1, "top_knot": 0.05}
    side_end = ends.get(style, 0.12) + 0.14 * side
    if style in CURLY:
        side_end = 0.05
    return Hair(
        style=style,
        front=front,
        volume=volume,
        side_end=side_end,
        flip=flip,
        part=part * flip if front in ("side", "swept") else 0.04 * flip,
        curls=_curls(style, jitter),
        wave=0.10 + 0.08 * wave if style == "wavy" else 0.02 * wave,
    )


def hair_color(rng: Rng, tone: str) -> Color:
    """Choose a hair color (3, 1, 1) within "light" or "dark"."""
    which, shift = int(rng.integers(6)), rng.random()
    hue, saturation, value = _TONES[tone][which]
    return color(hue + 0.012 * (shift - 0.5), saturation, value * (0.94 + 0.12 * shift))


def _curls(style: str, jitter: Points) -> Points:
    """Circles around the skull, as far down as the style reaches."""
    reach = 0.62 if style == "curly" else 0.78
    large = 1.0 if style == "curly" else 1.35
    angle = np.linspace(-reach, reach, len(jitter)) * np.pi + 0.1 * (jitter[:, 0] - 0.5)
    radius = 0.92 + 0.16 * jitter[:, 1] * large
    size = (0.13 + 0.08 * jitter[:, 2]) * large
    return np.stack([radius * 0.86 * np.sin(angle), -radius * np.cos(angle), size], axis=1)


def _hairline(hair: Hair, head: Head) -> list[tuple[float, float]]:
    """Hairline from the right temple to the left one."""
    f = head.forehead
    low = head.brow_y - 0.13
    lines: dict[str, list[tuple[float, float]]] = {
        "high": [(f * 0.9, -0.42), (f * 0.68, -0.62), (0.0, -0.69), (-f * 0.68, -0.62)],
        "peak": [
            (f * 0.92, -0.42),
            (f * 0.66, -0.65),
            (f * 0.3, -0.67),
            (0.0, -0.62),
            (-f * 0.3, -0.67),
            (-f * 0.66, -0.65),
        ],
        "curtain": [
            (f * 0.97, -0.18),
            (f * 0.72, -0.50),
            (f * 0.3, -0.70),
            (0.0, -0.82),
            (-f * 0.3, -0.70),
            (-f * 0.72, -0.50),
        ],
        "side": [
            (f * 0.94, -0.38),
            (f * 0.75, -0.58),
            (f * 0.42, -0.76),
            (0.0, -0.66),
            (-f * 0.5, -0.52),
            (-f * 0.82, -0.38),
        ],
        "swept": [
            (f * 0.94, -0.42),
            (f * 0.7, -0.62),
            (f * 0.42, -0.72),
            (0.0, low - 0.1),
            (-f * 0.5, low),
            (-f * 0.85, low + 0.04),
        ],
        "fringe": [
            (f * 0.92, low + 0.02),
            (f * 0.5, low),
            (f * 0.05, low - 0.03),
            (-f * 0.4, low + 0.01),
            (-f * 0.7, low - 0.01),
        ],
    }
    line = lines[hair.front]
    last = {"high": (-f * 0.9, -0.42), "peak": (-f * 0.92, -0.42), "curtain": (-f * 0.97, -0.18)}
    ends = {"side": (-f * 0.94, -0.22), "swept": (-f * 0.95, -0.2), "fringe": (-f * 0.92, low)}
    line = [*line, {**last, **ends}[hair.front]]
    if hair.flip < 0:
        line = [(-x, y) for x, y in reversed(line)]
    return line


def _crown(hair: Hair, head: Head) -> list[tuple[float, float]]:
    """Outer line from the left side over the top to the right one."""
    wide, top = head.cheek + hair.volume * 0.75, -1.0 - hair.volume
    if hair.style == "quiff":
        lift = 0.2
        return [
            (-wide, -0.3),
            (-wide * 0.92, -0.8),
            (-wide * 0.6 + 0.1 * hair.flip, top - lift * 0.6),
            (0.12 * hair.flip, top - lift),
            (wide * 0.6 + 0.1 * hair.flip, top - lift * 0.6),
            (wide * 0.92, -0.8),
            (wide, -0.3),
        ]
    return [
        (-wide, -0.3),
        (-wide * 0.89, -0.72),
        (-wide * 0.53, top * 0.935),
        (0.0, top),
        (wide * 0.53, top * 0.935),
        (wide * 0.89, -0.72),
        (wide, -0.3),
    ]


def front_points(hair: Hair, head: Head) -> Points:
    """Outline (n, 2), in head units, of the hair in front: a cap with side locks.

    It runs over the top, down the right lock, and back along the hairline.
    """
    end, inner = hair.side_end, head.cheek * 0.93
    wide = head.cheek + hair.volume * 0.75
    crown = _crown(hair, head)
    sway = 0.06 if hair.style == "wavy" else 0.0
    if end > 0.5:
        right = [
            (wide + 0.06 + sway, 0.2),
            (wide + 0.1 - sway, end * 0.6),
            (wide + 0.06 + sway, end * 0.85),
            (wide * 0.88, end),
            (inner * 0.92 + sway, end * 0.85),
            (inner * 1.02 - sway, end * 0.6),
            (inner * 0.99, 0.15),
        ]
    else:
        right = [(wide * 0.98, end * 0.4), (inner + 0.04, end), (inner - 0.02, -0.1)]
    left = [(-x, y) for x, y in reversed(right)]
    return curve(np.array([*crown, *right, *_hairline(hair, head), *left]))


def back_points(hair: Hair, head: Head) -> Points:
    """Outline (n, 2), in head units, of the hair behind the head."""
    wide = head.cheek + hair.volume * 0.75
    crown = _crown(hair, head)
    if hair.style in ("long", "wavy"):
        sway = 0.09 if hair.style == "wavy" else 0.0
        right = [
            (wide + 0.08 + sway, 0.3),
            (wide + 0.16 - sway, 0.8),
            (wide + 0.2 + sway, 1.25),
            (wide + 0.1, 1.7),
            (0.4, 1.85),
        ]
    elif hair.style == "bob":
        right = [(wide + 0.08, 0.3), (wide + 0.14, 0.75), (wide - 0.06, 1.0), (0.4, 0.98)]
    else:
        right = [(wide * 0.99, 0.0), (wide * 0.86, 0.42), (0.45, 0.72)]
    left = [(-x, y) for x, y in reversed(right)]
    return curve(np.array([*crown, *right, *left]))
