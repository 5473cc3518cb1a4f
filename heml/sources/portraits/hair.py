"""Paints a hair style: a layer behind the head and a layer in front of it."""

import numpy as np
from PIL import Image

from heml.sources.portraits.build import Head, Pose
from heml.sources.portraits.canvas import (
    Canvas,
    Color,
    Plane,
    Rng,
    curve,
    ellipse,
    ellipses,
    lit,
    mix,
    rgb,
    smooth_noise,
    step,
)
from heml.sources.portraits.hairstyles import CURLY, Hair, back_points, front_points


def front_shape(
    canvas: Canvas, pose: Pose, head: Head, hair: Hair, rim: float | None
) -> Image.Image:
    """Shape of the hair in front of the head.

    Parameters
    ----------
    canvas, pose, head, hair
        Where, and the choices.
    rim
        Height above which a hat hides the hair; None without a hat.

    Returns
    -------
    PIL.Image.Image
        A shape of the canvas.
    """
    shape = canvas.fill(pose.head, front_points(hair, head))
    if hair.style in CURLY:
        x, y, radius = hair.curls[hair.curls[:, 1] < -0.35].T
        canvas.fill(pose.head, ellipses(x * 0.95, y * 0.98, radius, radius), shape)
    if rim is not None:
        _tuck(canvas, pose, head, hair, shape, rim)
    return shape


def _tuck(
    canvas: Canvas, pose: Pose, head: Head, hair: Hair, shape: Image.Image, rim: float
) -> None:
    """Hide the hair under a hat, and let some of it show below: temples and locks."""
    canvas.fill(pose.head, np.array([(-3.0, -3.0), (3.0, -3.0), (3.0, rim), (-3.0, rim)]), shape, 0)
    outer, inner = head.cheek + hair.volume * 0.95, head.forehead * 0.65
    for side in (-1.0, 1.0):
        lock = [(inner, rim), (head.forehead * 0.86, -0.2), (head.cheek * 0.97, 0.22)]
        lock += [(outer * 0.98, 0.18), (outer, -0.2), (outer * 0.97, rim)]
        canvas.fill(pose.head, np.array(lock) * (side, 1.0), shape)


def _back_shape(
    canvas: Canvas, pose: Pose, head: Head, hair: Hair, rim: float | None
) -> Image.Image:
    shape = canvas.fill(pose.head, back_points(hair, head))
    if hair.style in CURLY:
        x, y, radius = hair.curls.T
        canvas.fill(pose.head, ellipses(x, y, radius, radius), shape)
    if hair.style == "bun":
        canvas.fill(pose.head, ellipse(0.05 * hair.flip, -1.28, 0.36, 0.3), shape)
    if hair.style == "top_knot":
        canvas.fill(pose.head, ellipse(0.3 * hair.flip, -1.24, 0.24, 0.22), shape)
    if hair.style == "tail":
        tail = [(0.62, -0.6), (0.95, -0.62), (1.24, -0.3), (1.32, 0.3), (1.2, 0.9), (0.98, 1.38)]
        tail += [(0.9, 0.9), (0.98, 0.3), (0.9, -0.1), (0.7, -0.3)]
        canvas.fill(pose.head, curve(np.array(tail) * (hair.flip, 1.0)), shape)
    if rim is not None:
        above = np.array([(-3.0, -3.0), (3.0, -3.0), (3.0, rim), (-3.0, rim)])
        canvas.fill(pose.head, above, shape, 0)
    return shape


def _strands(rng: Rng, canvas: Canvas, pose: Pose, hair: Hair) -> tuple[Plane, Plane]:
    """Light and dark of strands that fall from the parting: a factor plane and a shine plane."""
    u, v = pose.head.grid(canvas.size)
    phase = rng.uniform(0, 2 * np.pi)
    # Strands meet outside the hair, or the meeting point would show.
    top = 1.58 if hair.style == "quiff" else 1.34
    fine, broad = rng.random(150), rng.random(38)
    fall = np.arctan2(u - np.float32(hair.part), v + top)
    fall = fall + hair.wave * np.sin(v * 7.0 + phase)
    turn = (fall / (2 * np.pi) + 0.5).ravel()
    thin = np.interp(turn, np.linspace(0, 1, len(fine)), fine).reshape(u.shape)
    thick = np.interp(turn, np.linspace(0, 1, len(broad)), broad).reshape(u.shape)
    factor = 0.80 + 0.22 * thick + 0.16 * thin
    radius = np.hypot(u, v + 0.05)
    # A ring of shine around the crown, broken up by the strands, brighter toward the light.
    ring = np.exp(-(((radius - 0.93 + 0.05 * thick) / 0.07) ** 2)) * step(-v - 0.3, 0.5)
    shine = ring * (0.25 + 0.75 * thick) * (0.6 + 0.4 * np.clip(u * pose.light, -1, 1))
    return factor.astype(np.float32), shine.astype(np.float32)


def _coils(rng: Rng, canvas: Canvas, pose: Pose, hair: Hair) -> tuple[Plane, Plane]:
    """Light and dark of curls: arcs of random size and turn."""
    u, _ = pose.head.grid(canvas.size)
    broad = smooth_noise(rng, canvas.size, 12)
    # A jittered lattice leaves neither bald spots nor tangles.
    columns, rows = np.meshgrid(np.arange(-1.3, 1.31, 0.145), np.arange(-1.5, 1.05, 0.145))
    x, y = (axis.ravel() + rng.uniform(-0.06, 0.06, axis.size) for axis in (columns, rows))
    sizes, turns = rng.uniform(0.05, 0.10, x.size), rng.uniform(0, 2 * np.pi, x.size)
    arcs = ellipses(x, y, sizes, sizes * 0.85, turns)[:, :22:3]
    light = canvas.plane(canvas.stroke(pose.head, arcs[::2], 0.036))
    shade = canvas.plane(canvas.stroke(pose.head, arcs[1::2], 0.036)) * (1.0 - light)
    shine = light * (0.55 + 0.25 * np.clip(u * pose.light, -1, 1))
    return 0.78 + 0.26 * broad - 0.14 * shade, shine


def _texture(rng: Rng, canvas: Canvas, pose: Pose, hair: Hair, base: Color) -> Plane:
    """Hair texture (3, size, size) for both layers."""
    paint = _coils if hair.style in CURLY else _strands
    factor, shine = paint(rng, canvas, pose, hair)
    u, _ = pose.head.grid(canvas.size)
    bright = mix(base, rgb(1.0, 0.97, 0.92), 0.42)
    return mix(lit(base, factor * pose.glow(u, 0.13)), bright, shine * 0.6)


class HairPainter:
    """Paints the two layers of one hair style in one color.

    Parameters
    ----------
    canvas, pose, head, hair
        Where, and the choices.
    base
        Color (3, 1, 1).
    rng
        Source of the strands.
    rim
        Height above which a hat hides the hair; None without a hat.
    """

    def __init__(
        self,
        canvas: Canvas,
        pose: Pose,
        head: Head,
        hair: Hair,
        base: Color,
        rng: Rng,
        rim: float | None,
    ) -> None:
        self._canvas, self._pose, self._head, self._hair = canvas, pose, head, hair
        self._base, self._rim = base, rim
        self._texture = _texture(rng, canvas, pose, hair, base)
        self.front = front_shape(canvas, pose, head, hair, rim)

    def back_layer(self) -> None:
        """Paint what is behind head, neck and clothes; it is in shadow near the neck."""
        shape = _back_shape(self._canvas, self._pose, self._head, self._hair, self._rim)
        u, v = self._pose.head.grid(self._canvas.size)
        across, down = (u / 0.75) ** 2, ((v - 0.9) / 0.7) ** 2
        depth = 0.97 - 0.40 * np.exp(-across * across - down * down)
        self._canvas.paint(shape, self._texture * depth, "hair")
        if self._hair.style in ("bun", "top_knot") and self._rim is None:
            self._knot()
        if self._hair.style == "tail":
            x = self._hair.flip * 0.93
            tie = self._canvas.stroke(
                self._pose.head, np.array([(x - 0.02, -0.52), (x + 0.02, -0.28)]), 0.09
            )
            self._canvas.paint(tie, self._base * 0.45, within=shape)

    def _knot(self) -> None:
        """Paint the coil of a bun, lines around its middle."""
        x, size = (0.05, 0.36) if self._hair.style == "bun" else (0.3, 0.24)
        center = (x * self._hair.flip, -1.28 if self._hair.style == "bun" else -1.24)
        for share, value in ((0.72, 100), (0.4, 100)):
            ring = ellipse(*center, size * share, size * 0.82 * share, 0.4 * self._hair.flip)
            shape = self._canvas.stroke(self._pose.head, ring[4:34], 0.03, value=value)
            self._canvas.paint(shape, self._base * 0.5)

    def front_layer(self) -> None:
        """Paint what is in front of the head."""
        self._canvas.paint(self.front, self._texture, "hair")
