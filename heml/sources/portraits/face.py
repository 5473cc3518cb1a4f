"""Skin and the features on it: head, eyes, brows, nose and mouth."""

import numpy as np

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
    ellipses,
    lit,
    mix,
    rgb,
    smooth_noise,
)

_SKIN = {
    "light": ((0.055, 0.24, 0.98), (0.075, 0.36, 0.93)),
    "medium": ((0.065, 0.44, 0.82), (0.080, 0.52, 0.72)),
    "dark": ((0.055, 0.55, 0.53), (0.070, 0.62, 0.40)),
}
_SIDES = (-1.0, 1.0)


def skin_color(rng: Rng, tone: str) -> Color:
    """Choose a skin color (3, 1, 1) within "light", "medium" or "dark"."""
    share = rng.random()
    start, end = _SKIN[tone]
    hue, saturation, value = (a + (b - a) * share for a, b in zip(start, end, strict=True))
    return color(hue, saturation, value)


def _relief(u: Plane, v: Plane, head: Head, light: float) -> Plane:
    """Light on a rounded head: a factor plane around 1."""
    across, down = u / np.float32(head.cheek * 1.15), v / 1.2
    depth = np.sqrt(np.clip(1.0 - across**2 - down**2, 0.0, 1.0))
    return np.asarray(0.80 + 0.26 * depth + 0.13 * light * across - 0.07 * down, np.float32)


def draw_head_skin(
    canvas: Canvas, rng: Rng, pose: Pose, head: Head, skin: Color, shadow: Plane
) -> None:
    """Paint ears and face.

    Parameters
    ----------
    canvas, rng, pose, head
        Where, and the choices.
    skin
        Color (3, 1, 1).
    shadow
        How much the hair keeps light off each pixel: (size, size), in [0, 1].
    """
    u, v = pose.head.grid(canvas.size)
    blush, freckles = rng.uniform(0.08, 0.3), rng.random() < 0.2
    ear_y, ear_size = rng.uniform(-0.02, 0.06), rng.uniform(0.9, 1.15)
    spots = rng.uniform(-1.0, 1.0, (26, 2))
    factor = _relief(u, v, head, pose.light) * (1.0 - 0.3 * shadow)
    # Eye sockets and the hollow under the lip make a face of an egg.
    for side in _SIDES:
        socket = ((u - side * head.eye_x) / 0.27) ** 2 + ((v - head.eye_y + 0.06) / 0.17) ** 2
        factor = factor * (1.0 - 0.07 * np.exp(-socket))
    factor = factor * (
        1.0 - 0.09 * np.exp(-((u / 0.2) ** 2) - ((v - head.mouth_y - 0.2) / 0.06) ** 2)
    )
    factor = factor + 0.03 * (smooth_noise(rng, canvas.size, 9) - 0.5)
    texture = lit(skin, factor)
    rosy = skin * rgb(1.04, 0.72, 0.70)
    for side in _SIDES:
        cheek = ((u - side * 0.43) / 0.2) ** 2 + ((v - 0.3) / 0.15) ** 2
        texture = mix(texture, rosy, (blush * np.exp(-cheek)).astype(np.float32))
    for side in _SIDES:
        center = (side * (head.cheek + 0.03), head.eye_y + ear_y + 0.08)
        ear = canvas.fill(pose.head, ellipse(*center, 0.11 * ear_size, 0.2 * ear_size, side * 0.15))
        canvas.paint(ear, texture * 0.95, "skin")
        inner = ellipse(center[0] + side * 0.015, center[1], 0.055, 0.12, side * 0.15)
        canvas.paint(canvas.fill(pose.head, inner), texture * 0.8, "skin")
    face = canvas.fill(pose.head, curve(head.outline()))
    canvas.paint(face, texture, "skin")
    if freckles:
        radii = np.full(len(spots), 0.013)
        x, y = spots[:, 0] * 0.5, 0.22 + spots[:, 1] * 0.13 + 0.05 * np.abs(spots[:, 0])
        shape = canvas.fill(pose.head, ellipses(x, y, radii, radii), value=120)
        canvas.paint(shape, skin * rgb(0.72, 0.58, 0.5), within=face)


def _eye_outline(x: float, y: float, width: float, height: float, slant: float) -> Points:
    """Almond from the inner corner (left) over the top: closed points."""
    t = np.linspace(-1.0, 1.0, 13)
    top = -height * (1 - np.abs(t) ** 2.2) * (1 + 0.06 * t)
    low = height * 0.72 * (1 - np.abs(t) ** 2.4)
    lean = -slant * width * t
    upper = np.stack([x + width * t, y + top + lean], axis=1)
    lower = np.stack([x + width * t, y + low + lean], axis=1)
    return np.concatenate([upper, lower[::-1][1:-1]])


def draw_eyes(canvas: Canvas, rng: Rng, pose: Pose, head: Head, kind: str, skin: Color) -> None:
    """Paint lids' folds, whites, irises, pupils, highlights and lashes.

    Parameters
    ----------
    canvas, rng, pose, head
        Where, and the choices.
    kind
        "open" or "narrow"; the folds of the lids stay where they are, as they are skin.
    skin
        Color (3, 1, 1) of the skin around.
    """
    width, shape = rng.uniform(0.185, 0.215), rng.random()
    slant, gaze_x, gaze_y = rng.uniform(-0.10, 0.06), rng.uniform(-0.045, 0.045), rng.random()
    flick = max(0.0, rng.uniform(-0.05, 0.055))
    hue, value = ((0.07, 0.35), (0.08, 0.5), (0.56, 0.72), (0.33, 0.5), (0.6, 0.5))[rng.integers(5)]
    lash, iris_size = rng.uniform(0.02, 0.042), rng.uniform(0.100, 0.112)
    height = 0.112 + 0.022 * shape if kind == "open" else 0.056 + 0.010 * shape
    iris_color = color(hue, 0.65 if hue < 0.2 else 0.5, value)
    whites, irises, inners, pupils, glints = (canvas.shape() for _ in range(5))
    lashes, folds, shades = canvas.shape(), canvas.shape(), canvas.shape()
    for side in _SIDES:
        x, y = side * head.eye_x, head.eye_y
        outline = _eye_outline(0.0, 0.0, width, height, slant) * (side, 1.0) + (x, y)
        canvas.fill(pose.head, outline, whites)
        center = (x + gaze_x, y - 0.012 + 0.02 * gaze_y)
        canvas.fill(pose.head, ellipse(*center, iris_size, iris_size), irises)
        canvas.fill(pose.head, ellipse(*center, iris_size * 0.8, iris_size * 0.8), inners)
        canvas.fill(pose.head, ellipse(*center, iris_size * 0.5, iris_size * 0.5), pupils)
        glint = (center[0] + 0.035 * pose.light, center[1] - 0.032)
        canvas.fill(pose.head, ellipse(*glint, 0.03, 0.026), glints)
        top = outline[:13]
        canvas.stroke(pose.head, top, lash, lashes)
        canvas.stroke(pose.head, top + np.array([0.0, 0.025]), 0.05, shades, 90)
        tail = np.array([top[-1], top[-1] + (side * flick, -0.9 * flick)])
        canvas.stroke(pose.head, tail, lash * 0.9, lashes)
        fold = _eye_outline(0.0, 0.0, width * 1.02, 0.15, slant)[1:12] * (side, 1.0)
        canvas.stroke(pose.head, fold + np.array([x, y - 0.048]), 0.018, folds, 110)
    canvas.paint(folds, skin * rgb(0.62, 0.52, 0.48))
    canvas.paint(whites, rgb(0.965, 0.96, 0.955), "eyes")
    canvas.paint(irises, iris_color * 0.55, within=whites)
    canvas.paint(inners, iris_color, within=whites)
    canvas.paint(pupils, rgb(0.05, 0.04, 0.05), within=whites)
    canvas.paint(shades, rgb(0.25, 0.2, 0.25), within=whites)
    canvas.paint(glints, rgb(1.0, 1.0, 1.0), within=whites)
    canvas.paint(lashes, rgb(0.13, 0.08, 0.08), "eyes")


def draw_brows(canvas: Canvas, rng: Rng, pose: Pose, head: Head, kind: str) -> None:
    """Paint two brows, "thin" or "thick"; their color is independent of the hair's."""
    hue, saturation, value = rng.uniform(0.03, 0.09), rng.uniform(0.3, 0.6), rng.uniform(0.1, 0.34)
    arch, tilt, length = (
        rng.uniform(0.03, 0.085),
        rng.uniform(-0.03, 0.015),
        rng.uniform(0.21, 0.25),
    )
    fine = rng.random()
    thickness = 0.034 + 0.010 * fine if kind == "thin" else 0.092 + 0.02 * fine
    t = np.linspace(-1.0, 1.0, 15)
    # Thick at the inner end, pointed at the outer one.
    half = thickness * 0.5 * np.clip(1.15 - 0.75 * (t * 0.5 + 0.5) ** 2, 0.2, 1.0)
    half = half * np.minimum(1.0, (1.02 - np.abs(t)) * 6.0)
    bend = -arch * (1 - (t - 0.08) ** 2) - tilt * t
    shape = canvas.shape()
    for side in _SIDES:
        x = side * (head.eye_x + length * t * 1.05 + 0.01)
        upper = np.stack([x, head.brow_y + bend - half], axis=1)
        lower = np.stack([x, head.brow_y + bend + half], axis=1)
        canvas.fill(pose.head, np.concatenate([upper, lower[::-1]]), shape)
    canvas.paint(shape, color(hue, saturation, value), "brows")


def draw_nose(canvas: Canvas, rng: Rng, pose: Pose, head: Head, kind: str, skin: Color) -> None:
    """Paint bridge, tip and nostrils of a "small" or "large" nose in the skin's color."""
    grow, tip, bridge = rng.random(), rng.uniform(0.85, 1.15), rng.uniform(0.8, 1.2)
    wide = 0.125 + 0.02 * grow if kind == "small" else 0.225 + 0.03 * grow
    end = head.nose_y - (0.06 if kind == "small" else 0.0)
    top = head.eye_y - (-0.03 if kind == "small" else 0.07)
    narrow = 0.05 * bridge if kind == "small" else 0.075 * bridge
    outline = np.array(
        [
            (narrow * 0.8, top),
            (narrow, top * 0.45 + end * 0.55),
            (wide * 0.78, end - 0.115 * tip),
            (wide, end - 0.03),
            (wide * 0.72, end + 0.035),
            (wide * 0.35, end + 0.028),
            (0.0, end + 0.06 * tip),
        ]
    )
    left = outline[:-1][::-1] * (-1.0, 1.0)
    shape = canvas.fill(pose.head, curve(np.concatenate([outline, left]), steps=5))
    u, v = pose.head.grid(canvas.size)
    reach = wide
    down = np.clip((v - top) / np.float32(end - top), 0.0, 1.2)
    factor = _relief(u, v, head, pose.light) + 0.02
    # Shading grows toward the tip, so that the bridge melts into the forehead.
    side = np.clip(u / reach, -1.0, 1.0) * pose.light
    factor = factor + down * (0.10 * side - 0.06 * side**2)
    ball = np.exp(-((u / (reach * 0.5)) ** 2) - ((v - (end - 0.05)) / 0.07) ** 2)
    factor = factor + 0.07 * ball - 0.2 * np.clip((down - 0.93) / 0.2, 0.0, 1.0)
    rosy = skin * rgb(1.0, 0.9, 0.88)
    warm = mix(skin, rosy, np.clip(down, 0.0, 1.0).astype(np.float32))
    canvas.paint(shape, lit(warm, factor), "nose")
    nostrils, wings = canvas.shape(), canvas.shape()
    for turn in _SIDES:
        hole = ellipse(turn * wide * 0.45, end + 0.012, wide * 0.2, 0.02, turn * -0.25)
        canvas.fill(pose.head, hole, nostrils, 200)
        wing = outline[2:5] * (turn, 1.0)
        canvas.stroke(pose.head, curve(wing, closed=False), 0.022, wings, 90)
    canvas.paint(wings, skin * rgb(0.6, 0.48, 0.44), within=shape)
    canvas.paint(nostrils, skin * rgb(0.42, 0.28, 0.26), within=shape)


def draw_mouth(canvas: Canvas, rng: Rng, pose: Pose, head: Head, kind: str) -> None:
    """Paint lips, and teeth or a gap between them where they part.

    "smiling" turns the corners up, sometimes with teeth; "serious" leaves them level or turns
    them down, sometimes with parted lips, so that neither teeth nor a gap alone is the label.
    """
    bend, width, part, gap = rng.random(4)
    full_upper, full_lower = rng.uniform(0.05, 0.075), rng.uniform(0.075, 0.105)
    lips = color(rng.uniform(-0.04, 0.03), rng.uniform(0.38, 0.60), rng.uniform(0.60, 0.80))
    if kind == "smiling":
        rise, half = 0.15 + 0.05 * bend, 0.28 + 0.06 * width
        opening = 0.09 + 0.05 * gap if part < 0.5 else 0.0
    else:
        rise, half = -0.055 + 0.06 * bend, 0.25 + 0.06 * width
        opening = 0.02 + 0.02 * gap if part < 0.3 else 0.0
    t = np.linspace(-1.0, 1.0, 21)
    x = half * t
    # An open smile is a half-moon: its upper edge is flatter than its lower one.
    flat = 0.7 if opening > 0.05 else 1.0
    middle = head.mouth_y + rise * (0.45 - flat * t**2)
    upper = middle - full_upper * (1 - t**2) ** 0.6 * (1 - 0.3 * np.exp(-((t / 0.16) ** 2)))
    inner = middle + opening * (1 - t**2) ** 0.7
    lower = inner + full_lower * (1 - t**2) ** 0.6
    outline = _between(x, upper, lower)
    u, v = pose.head.grid(canvas.size)
    sheen = np.exp(-((u / 0.13) ** 2) - ((v - inner[10] - full_lower * 0.5) / 0.04) ** 2)
    glow = 1.0 + 0.25 * sheen + 0.06 * pose.light * u / half
    canvas.paint(canvas.fill(pose.head, outline), lit(lips, glow), "mouth")
    canvas.paint(
        canvas.fill(pose.head, _between(x, upper, middle)),
        lit(lips * 0.84, glow),
        "mouth",
    )
    line = np.stack([x, middle], axis=1)[1:-1]
    if opening > 0.0:
        cavity = canvas.fill(pose.head, _between(x * 0.9, middle, inner))
        canvas.paint(cavity, rgb(0.28, 0.06, 0.08), "mouth")
    if opening > 0.05:
        edge = middle + (inner - middle) * 0.72
        teeth = canvas.fill(pose.head, _between(x * 0.86, middle, edge))
        canvas.paint(teeth, rgb(0.97, 0.96, 0.93), "mouth")
    canvas.paint(canvas.stroke(pose.head, line, 0.022), lips * 0.42, "mouth")


def _between(x: Points, upper: Points, lower: Points) -> Points:
    """Polygon between two lines over the same x."""
    there = np.stack([x, upper], axis=1)
    back = np.stack([x, lower], axis=1)[::-1]
    return np.concatenate([there, back])
