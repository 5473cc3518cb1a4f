"""Neck, clothes and hats."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops

from heml.sources.portraits.build import Head, Pose
from heml.sources.portraits.canvas import (
    Canvas,
    Color,
    Plane,
    Points,
    Rng,
    color,
    curve,
    ellipse,
    lit,
    mix,
    smooth_noise,
    soft,
    step,
    symmetric,
)

_NECKLINES = ("crew", "v", "scoop", "collar", "turtle", "jacket", "boat")


def draw_neck(canvas: Canvas, rng: Rng, pose: Pose, head: Head, skin: Color) -> None:
    """Paint neck and chest with the shadow of the head; clothes cover what they leave."""
    half = rng.uniform(0.33, 0.42)
    points = symmetric(
        [(half, 0.3), (half * 0.97, 0.95), (half * 1.15, 1.25), (1.1, 1.6), (1.2, 2.6)]
    )
    shape = canvas.fill(pose.body, points)
    u, v = pose.body.grid(canvas.size)
    chin = canvas.plane(canvas.fill(pose.head, curve(head.outline()) * 1.02 + (0.0, 0.1)))
    factor = 0.93 + 0.10 * pose.light * np.clip(u / 0.5, -1, 1) - 0.25 * soft(chin, 0.016)
    # Collar bones.
    for side in (-1.0, 1.0):
        bone = (v - 1.47 - 0.08 * np.abs(u)) / 0.03
        factor = factor - 0.05 * np.exp(-(bone**2) - ((u - side * 0.3) / 0.2) ** 2)
    canvas.paint(shape, lit(skin, factor), "neck")


def _cloth_colors(rng: Rng, tone: str) -> tuple[Color, Color]:
    hue, turn, strength, depth = rng.random(4)
    second_hue = hue + 0.5 * (turn - 0.5)
    if tone == "light":
        first = color(hue, 0.06 + 0.34 * strength, 0.97 - 0.12 * depth)
        return first, color(second_hue, 0.2 + 0.25 * strength, 0.80 - 0.08 * depth)
    first = color(hue, 0.4 + 0.35 * strength, 0.15 + 0.13 * depth)
    return first, color(second_hue, 0.4 + 0.25 * strength, 0.34 + 0.08 * depth)


def _wave(position: Plane, pitch: float, sharp: float = 0.7) -> Plane:
    return step(np.sin(position * (2 * np.pi / pitch)), sharp)


def _pattern(rng: Rng, u: Plane, v: Plane, size: int) -> Plane:
    """How much of the second color each pixel of the cloth has: (size, size), in [0, 1]."""
    kind, pitch = int(rng.integers(8)), rng.uniform(0.2, 0.32)
    level, turn = rng.uniform(1.6, 1.8), rng.uniform(-0.8, 0.8)
    noise = smooth_noise(rng, size, 14)
    if kind == 0:
        return _wave(v - 0.06 * u**2, pitch)
    if kind == 1:
        return _wave(u, pitch) * 0.8
    if kind == 2:
        spots = np.sin(u * (2 * np.pi / pitch)) * np.sin(v * (2 * np.pi / pitch))
        return step(spots - 0.45, 0.3)
    if kind == 3:
        return (_wave(u, pitch * 1.5, 0.4) + _wave(v, pitch * 1.5, 0.4)) * 0.42
    if kind == 4:
        return step(v - level, 0.03)
    if kind == 5:
        return step(noise - 0.55, 0.15) * 0.85
    if kind == 6:
        return np.clip((v + turn * u - 1.2) / 1.1, 0.0, 1.0)
    return np.zeros_like(u)


def _opening(kind: str, depth: float) -> Points:
    """Polygon that a neckline leaves open."""
    if kind == "crew":
        return ellipse(0.0, 1.2, 0.47, 0.2 + 0.06 * depth)
    if kind == "scoop":
        return ellipse(0.0, 1.15, 0.56, 0.42 + 0.12 * depth)
    if kind == "boat":
        return ellipse(0.0, 1.28, 0.78, 0.2)
    if kind == "turtle":
        return ellipse(0.0, 0.99, 0.6, 0.2)
    if kind == "v":
        return np.array([(-0.52, 1.1), (0.0, 1.72 + 0.15 * depth), (0.52, 1.1)])
    return np.array([(-0.4, 1.1), (0.0, 1.6 + 0.1 * depth), (0.4, 1.1)])


def draw_clothes(canvas: Canvas, rng: Rng, pose: Pose, tone: str) -> None:
    """Paint clothes with a neckline and a pattern in "light" or "dark" colors."""
    first, second = _cloth_colors(rng, tone)
    kind = _NECKLINES[int(rng.integers(len(_NECKLINES)))]
    depth, broad = rng.random(), rng.uniform(1.2, 1.42)
    u, v = pose.body.grid(canvas.size)
    pattern = _pattern(rng, u, v, canvas.size)
    folds = smooth_noise(rng, canvas.size, 7)
    top = 1.0 if kind == "turtle" else 1.2
    shoulder = np.array(
        [(0.46, 1.3), (broad * 0.7, 1.45), (broad, 1.64), (broad * 1.15, 2.05), (broad * 1.3, 2.9)]
    )
    half = [(0.0, top), (0.4, top), *curve(shoulder, closed=False)]
    torso = canvas.fill(pose.body, symmetric(half))
    edge = _opening(kind, depth)
    opening = canvas.fill(pose.body, edge)
    shape = ImageChops.subtract(torso, opening)
    factor = pose.glow(u, 0.09) - 0.1 * np.abs(u / 1.4) ** 3 + 0.16 * (folds - 0.5)
    # An arm's fold on each side keeps the torso from looking like a board.
    factor = factor - 0.14 * np.exp(-(((np.abs(u) - broad * 0.78 + 0.05 * v) / 0.05) ** 2)) * step(
        v - 1.85, 0.1
    )
    texture = lit(mix(first, second, pattern), factor)
    canvas.paint(shape, texture, "clothes")
    if kind in ("crew", "scoop", "v", "boat"):
        trim = canvas.stroke(pose.body, np.concatenate([edge, edge[:2]]), 0.11)
        canvas.paint(trim, second * 0.9, within=shape)
    elif kind == "turtle":
        roll = canvas.fill(
            pose.body, symmetric([(0.0, 1.0), (0.44, 1.0), (0.47, 1.36), (0.0, 1.44)])
        )
        ribs = factor * (0.93 + 0.08 * np.sin(u * (2 * np.pi / 0.09)))
        canvas.paint(roll, lit(first, ribs), within=shape)
        hem = curve(np.array([(-0.46, 1.36), (0.0, 1.43), (0.46, 1.36)]), closed=False)
        canvas.paint(canvas.stroke(pose.body, hem, 0.025, value=120), first * 0.6, within=shape)
    else:
        _lapels(canvas, pose, kind, first, second, shape)


def _lapels(
    canvas: Canvas, pose: Pose, kind: str, first: Color, second: Color, shape: Image.Image
) -> None:
    """Paint the collar of a shirt, or a jacket's lapels with their buttons."""
    long = 1.62 if kind == "collar" else 2.3
    wide = 0.6 if kind == "collar" else 0.68
    for side in (-1.0, 1.0):
        points = np.array([(0.36, 1.17), (wide, 1.36), (wide * 0.72, 1.6), (0.0, long)])
        leaf = canvas.fill(pose.body, points * (side, 1.0))
        tint = second if kind == "jacket" else first
        canvas.paint(leaf, tint * np.float32(1.0 + 0.06 * side * pose.light), "clothes", shape)
        edge = canvas.stroke(pose.body, points[1:] * (side, 1.0), 0.022, value=150)
        canvas.paint(edge, second * 0.55, within=shape)
    buttons = canvas.shape()
    for y in (1.78, 2.0) if kind == "collar" else (2.38,):
        canvas.fill(pose.body, ellipse(0.0, y, 0.032, 0.032), buttons, 220)
    canvas.paint(buttons, second * 0.5, within=shape)


def hat_rim(head: Head) -> float:
    """Height, in head units, down to which a hat hides the hair."""
    return head.brow_y - 0.21


def _hat_colors(rng: Rng) -> tuple[Color, Color]:
    hue, saturation, value = rng.random(), rng.uniform(0.25, 0.75), rng.uniform(0.3, 0.92)
    return color(hue, saturation, value), color(
        hue + rng.uniform(-0.3, 0.3), saturation * 0.8, (value + 0.45) % 0.9 + 0.1
    )


def _dome(width: float, rim: float, top: float, lean: float = 0.0) -> Points:
    return np.concatenate(
        [
            curve(
                np.array(
                    [
                        (-width, rim),
                        (-width * 0.97, rim * 0.65 + top * 0.35),
                        (-width * 0.6 + lean, rim * 0.12 + top * 0.88),
                        (lean, top),
                        (width * 0.6 + lean, rim * 0.12 + top * 0.88),
                        (width * 0.97, rim * 0.65 + top * 0.35),
                        (width, rim),
                    ]
                ),
                closed=False,
            ),
            np.array([(width * 0.5, rim + 0.07), (0.0, rim + 0.09), (-width * 0.5, rim + 0.07)]),
        ]
    )


def _rim_band(width: float, rim: float, height: float) -> Points:
    """Band that follows the forehead's curve."""
    t = np.linspace(-1.0, 1.0, 13)
    low = np.stack([t * width, rim + 0.1 * (1 - t**2)], axis=1)
    high = np.stack([t * width * 0.99, rim - height + 0.08 * (1 - t**2)], axis=1)
    return np.concatenate([low, high[::-1]])


HatPainter = Callable[[Canvas, Rng, Pose, float, float], None]


def _beanie(canvas: Canvas, rng: Rng, pose: Pose, rim: float, width: float) -> None:
    first, second = _hat_colors(rng)
    u, _ = pose.head.grid(canvas.size)
    top, ball = rng.uniform(-1.4, -1.3), rng.random() < 0.5
    ribs = pose.glow(u) * (0.92 + 0.1 * np.sin(u * (2 * np.pi / 0.13)))
    if ball:
        fluff = 0.8 + 0.4 * smooth_noise(rng, canvas.size, 40)
        shape = canvas.fill(pose.head, ellipse(0.0, top - 0.06, 0.2, 0.19))
        canvas.paint(shape, lit(second, fluff), "hat")
    dome = canvas.fill(pose.head, _dome(width, rim, top))
    canvas.paint(dome, lit(first, ribs - 0.12 * np.abs(u) ** 2), "hat")
    band = canvas.fill(pose.head, _rim_band(width * 1.03, rim, 0.27))
    canvas.paint(band, lit(mix(first, second, 0.5), ribs * 0.9), "hat")


def _cap(canvas: Canvas, rng: Rng, pose: Pose, rim: float, width: float) -> None:
    first, second = _hat_colors(rng)
    u, v = pose.head.grid(canvas.size)
    turn = rng.uniform(-0.16, 0.16)
    factor = pose.glow(u, 0.12) - 0.1 * np.abs(u) ** 2
    # Seams of the panels.
    for seam in (-0.33, 0.33):
        factor = factor - 0.16 * np.exp(-(((u - seam * (1.6 + v)) / 0.018) ** 2))
    shape = canvas.fill(pose.head, _dome(width * 0.98, rim - 0.04, rng.uniform(-1.34, -1.26)))
    canvas.paint(shape, lit(first, factor), "hat")
    badge = canvas.fill(pose.head, ellipse(turn, -0.92, 0.15, 0.13))
    canvas.paint(badge, second, "hat")
    t = np.linspace(-1.0, 1.0, 17)
    low = np.stack([turn + t * width * 0.9, rim + 0.02 + 0.12 * (1 - t**2)], axis=1)
    high = np.stack([turn + t * width * 0.9, rim + 0.0 - 0.13 * (1 - t**2)], axis=1)
    visor = canvas.fill(pose.head, np.concatenate([low, high[::-1]]))
    canvas.paint(visor, lit(second * 0.85, pose.glow(u)), "hat")
    canvas.paint(canvas.stroke(pose.head, low, 0.03, value=130), second * 0.45, within=visor)


def _brimmed(canvas: Canvas, rng: Rng, pose: Pose, rim: float, width: float) -> None:
    first, second = _hat_colors(rng)
    u, v = pose.head.grid(canvas.size)
    reach, tall = rng.uniform(1.25, 1.5), rng.uniform(-1.42, -1.3)
    weave = 1.0 + 0.05 * np.sin(v * (2 * np.pi / 0.08))
    factor = (pose.glow(u, 0.1) * weave).astype(np.float32)
    back = canvas.fill(pose.head, ellipse(0.0, rim - 0.05, reach, 0.15))
    canvas.paint(back, lit(first * 0.8, factor), "hat")
    crown = canvas.fill(pose.head, _dome(width * 0.92, rim - 0.05, tall))
    canvas.paint(crown, lit(first, factor - 0.1 * np.abs(u) ** 2), "hat")
    band = canvas.fill(pose.head, _rim_band(width * 0.94, rim - 0.06, 0.19))
    canvas.paint(band, lit(second, pose.glow(u)), "hat")
    t = np.linspace(-1.0, 1.0, 21)
    low = np.stack([t * reach, rim - 0.06 + 0.15 * np.sqrt(1 - t**2)], axis=1)
    high = np.stack([t * reach, rim - 0.06 + 0.07 * (1 - t**2)], axis=1)
    brim = canvas.fill(pose.head, np.concatenate([low, high[::-1]]))
    canvas.paint(brim, lit(first * 0.94, factor), "hat")


def _beret(canvas: Canvas, rng: Rng, pose: Pose, rim: float, width: float) -> None:
    first, _ = _hat_colors(rng)
    u, v = pose.head.grid(canvas.size)
    lean = float(rng.choice([-1.0, 1.0])) * rng.uniform(0.12, 0.24)
    felt = pose.glow(u, 0.12) + 0.1 * (smooth_noise(rng, canvas.size, 30) - 0.5) - 0.1 * (v + 0.9)
    stalk = canvas.stroke(pose.head, np.array([(lean, -1.25), (lean * 1.3, -1.42)]), 0.06)
    canvas.paint(stalk, first * 0.7, "hat")
    shape = canvas.fill(pose.head, _dome(width, rim, -1.2, lean * 0.5))
    canvas.fill(pose.head, ellipse(lean, -0.95, 1.06, 0.4, lean * 0.9), shape)
    canvas.paint(shape, lit(first, felt), "hat")
    band = canvas.fill(pose.head, _rim_band(width, rim, 0.12))
    canvas.paint(band, lit(first * 0.62, pose.glow(u)), "hat")


_HATS: tuple[HatPainter, ...] = (_beanie, _cap, _brimmed, _beret)


def draw_hat(canvas: Canvas, rng: Rng, pose: Pose, head: Head) -> None:
    """Paint a beanie, cap, brimmed hat or beret on the head."""
    painter = _HATS[int(rng.integers(len(_HATS)))]
    painter(canvas, rng, pose, hat_rim(head), head.cheek + 0.14)
