"""What is behind the person: ten kinds of background, in bright or dark colors."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from heml.sources.portraits.canvas import (
    Canvas,
    Color,
    Plane,
    Rng,
    color,
    mix,
    smooth_noise,
    soft,
    step,
)

_ENLARGED = 2
Layers = tuple[Plane, Plane]


class _Drawing:
    """A plane that Pillow draws on, with coordinates as shares of the side."""

    def __init__(self, size: int, start: float = 0.0) -> None:
        self.side = size * _ENLARGED
        self.image = Image.new("L", (self.side, self.side), round(start * 255))
        self._draw = ImageDraw.Draw(self.image)

    def disc(self, x: float, y: float, rx: float, value: float, ry: float | None = None) -> None:
        ry = rx if ry is None else ry
        box = [(x - rx) * self.side, (y - ry) * self.side]
        box += [(x + rx) * self.side, (y + ry) * self.side]
        self._draw.ellipse(box, fill=round(value * 255))

    def box(self, x0: float, y0: float, x1: float, y1: float, value: float) -> None:
        corners = [x0 * self.side, y0 * self.side, x1 * self.side, y1 * self.side]
        self._draw.rectangle(corners, fill=round(value * 255))

    def polygon(self, points: list[tuple[float, float]], value: float) -> None:
        flat = [number * self.side for point in points for number in point]
        self._draw.polygon(flat, fill=round(value * 255))

    def plane(self) -> Plane:
        return np.asarray(self.image.reduce(_ENLARGED), np.float32) / 255.0


def _axes(size: int) -> tuple[Plane, Plane]:
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    return np.broadcast_to(line[None, :], (size, size)), np.broadcast_to(
        line[:, None], (size, size)
    )


def _glow(rng: Rng, size: int) -> Layers:
    x, y = _axes(size)
    cx, cy, reach = rng.uniform(0.15, 0.85), rng.uniform(0.1, 0.6), rng.uniform(0.35, 0.6)
    near = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / np.float32(2 * reach**2 * 0.4))
    return near, soft(smooth_noise(rng, size, 5), 0.05) * 0.25


def _bokeh(rng: Rng, size: int) -> Layers:
    lights: Plane = np.zeros((size, size), np.float32)
    for blur in (0.022, 0.006):
        layer = _Drawing(size)
        for _ in range(11):
            x, y, radius = rng.random(), rng.random(), rng.uniform(0.025, 0.1)
            layer.disc(x, y, radius, rng.uniform(0.3, 0.85))
        lights = np.maximum(lights, soft(layer.plane(), blur))
    _, down = _axes(size)
    return down * 0.7, lights


def _stripes(rng: Rng, size: int) -> Layers:
    x, y = _axes(size)
    angle, count = rng.uniform(0, np.pi), rng.uniform(5, 11)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)).astype(np.float32) * count * 2 * np.pi)
    return y * 0.5, step(wave, 0.5) * 0.6


def _dots(rng: Rng, size: int) -> Layers:
    layer = _Drawing(size)
    pitch = rng.uniform(0.08, 0.15)
    radius = pitch * rng.uniform(0.16, 0.32)
    for row in range(-1, int(1 / pitch) + 2):
        for column in range(-1, int(1 / pitch) + 2):
            layer.disc((column + 0.5 * (row % 2)) * pitch, row * pitch, radius, 0.8)
    x, _ = _axes(size)
    return x * 0.6, layer.plane()


def _hills(rng: Rng, size: int) -> Layers:
    x, y = _axes(size)
    first = y * 0.45
    disc = _Drawing(size)
    disc.disc(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.35), rng.uniform(0.06, 0.11), 1.0)
    second = np.maximum(disc.plane(), soft(disc.plane(), 0.06) * 1.2)
    level = rng.uniform(0.42, 0.52)
    for depth in range(3):
        ridge = np.full_like(x, level + depth * 0.14)
        for frequency in (1.3, 2.9, 6.1):
            phase, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.1) / frequency
            ridge = ridge + height * np.sin(x * np.float32(frequency * 2 * np.pi) + phase)
        below = step(y - ridge, 1.5 / size)
        first = first * (1 - below) + np.float32(0.5 + 0.22 * depth) * below
        second = second * (1 - below)
    return first, second


def _skyline(rng: Rng, size: int) -> Layers:
    _, y = _axes(size)
    first, second = _Drawing(size), _Drawing(size)
    for depth, (low, high) in enumerate(((0.15, 0.45), (0.4, 0.7))):
        x = -0.05
        while x < 1.0:
            width, top = rng.uniform(0.09, 0.17), rng.uniform(low, high)
            first.box(x, top, x + width, 1.0, 0.55 + 0.4 * depth)
            second.box(x, top, x + width, 1.0, 0.0)
            for row in range(12):
                for column in range(3):
                    lamp = rng.random()
                    wx, wy = x + width * (0.18 + 0.25 * column), top + 0.03 + row * 0.055
                    if lamp < 0.5:
                        second.box(wx, wy, wx + width * 0.14, wy + 0.025, 0.35 + lamp)
            x += width + rng.uniform(0.0, 0.03)
    return np.maximum(first.plane(), y * 0.4), second.plane()


def _room(rng: Rng, size: int) -> Layers:
    first, second = _Drawing(size, 0.1), _Drawing(size)
    rail = rng.uniform(0.62, 0.75)
    first.box(0.0, rail, 1.0, 1.0, 0.75)
    first.box(0.0, rail, 1.0, rail + 0.02, 0.4)
    for center in (rng.uniform(0.08, 0.2), rng.uniform(0.8, 0.92)):
        top, half = rng.uniform(0.08, 0.2), rng.uniform(0.1, 0.15)
        bottom = top + rng.uniform(0.2, 0.36)
        first.box(center - half - 0.015, top - 0.015, center + half + 0.015, bottom + 0.015, 0.9)
        second.box(center - half, top, center + half, bottom, 0.7)
        ridge = [(center - half, bottom), (center - half * 0.3, (top + bottom) * 0.5)]
        ridge += [(center + half * 0.2, bottom - 0.07), (center + half, (top + bottom) * 0.47)]
        second.polygon([*ridge, (center + half, bottom)], 0.25)
    return soft(first.plane(), 0.004), soft(second.plane(), 0.004)


def _leaves(rng: Rng, size: int) -> Layers:
    first, second = _Drawing(size, 0.3), _Drawing(size)
    for index in range(46):
        x, y, turn = rng.random(), rng.random(), rng.uniform(0, 2 * np.pi)
        length, value = rng.uniform(0.09, 0.19), rng.uniform(0.0, 1.0)
        along = np.array([np.cos(turn), np.sin(turn)]) * length
        across = np.array([-np.sin(turn), np.cos(turn)]) * length * 0.22
        tip, tail = (x + along[0], y + along[1]), (x - along[0], y - along[1])
        sides = [(x + across[0], y + across[1]), (x - across[0], y - across[1])]
        target = second if index % 5 == 0 else first
        first.polygon([tip, sides[0], tail, sides[1]], value)
        second.polygon([tip, sides[0], tail, sides[1]], value * 0.7 if target is second else 0.0)
    return soft(first.plane(), 0.006), soft(second.plane(), 0.006)


def _clouds(rng: Rng, size: int) -> Layers:
    _, y = _axes(size)
    noise = 0.65 * smooth_noise(rng, size, 5) + 0.35 * smooth_noise(rng, size, 11)
    return y * 0.9, step(noise.astype(np.float32) - 0.52, 0.3)


def _wash(rng: Rng, size: int) -> Layers:
    broad = 0.6 * smooth_noise(rng, size, 4) + 0.4 * smooth_noise(rng, size, 9)
    fine = smooth_noise(rng, size, 30)
    return broad.astype(np.float32), fine * 0.3


_KINDS: tuple[Callable[[Rng, int], Layers], ...] = (
    _glow,
    _bokeh,
    _stripes,
    _dots,
    _hills,
    _skyline,
    _room,
    _leaves,
    _clouds,
    _wash,
)


def _palette(rng: Rng, tone: str) -> tuple[Color, Color, Color]:
    hue, turn, accent, spread, strength = rng.random(5)
    if tone == "dark":
        # Dark yellows are mud.
        hue, accent = 0.32 + 0.72 * hue, 0.4 * accent
    hues = (hue, hue + 0.16 * (turn - 0.5), hue + 0.12 + 0.5 * accent)
    if tone == "bright":
        saturations = (0.10 + 0.2 * strength, 0.22 + 0.2 * strength, 0.18 + 0.2 * strength)
        values = (0.97, 0.80 + 0.1 * spread, 0.99)
    else:
        saturations = (0.45 + 0.2 * strength, 0.5 + 0.2 * strength, 0.45 + 0.2 * strength)
        values = (0.22 + 0.08 * spread, 0.12 + 0.08 * spread, 0.46)
    first, second, third = (
        color(h, s, v) for h, s, v in zip(hues, saturations, values, strict=True)
    )
    return first, second, third


def draw_background(canvas: Canvas, rng: Rng, tone: str) -> None:
    """Fill the canvas with a background.

    Parameters
    ----------
    canvas
        An empty canvas.
    rng
        Source of the kind, its geometry and its hues.
    tone
        "bright" or "dark"; changes colors only.
    """
    palette = _palette(rng, tone)
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    first, second = kind(rng, canvas.size)
    texture = mix(mix(palette[0], palette[1], first), palette[2], np.minimum(second, 1.0))
    shape = canvas.shape()
    shape.paste(255, (0, 0, canvas.side, canvas.side))
    canvas.paint(shape, texture, "background")
