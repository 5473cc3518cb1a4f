"""The choices behind one portrait that several parts share: pose, light, head and hair shape.

They are drawn apart from the parts, so that no part's own choices can move another part.
"""

import math
from dataclasses import dataclass

import numpy as np

from heml.sources.portraits.canvas import Frame, Plane, Points, Rng, symmetric


@dataclass(frozen=True)
class Pose:
    """Where head and body are, and where the light comes from.

    Attributes
    ----------
    head, body
        Frames whose unit is half the height of the face: chin at y = 1, crown at y = -1. The
        body's is not turned.
    light
        Horizontal direction of the light, -1 (left) to 1 (right).
    """

    head: Frame
    body: Frame
    light: float

    def glow(self, u: Plane, strength: float = 0.1) -> Plane:
        """Factor plane around 1 that falls off away from the light, across x = `u`."""
        return 1.0 + np.float32(strength * self.light) * np.clip(u, -1.5, 1.5)


@dataclass(frozen=True)
class Head:
    """Shape of the face, in head units, and the places of its features.

    Attributes
    ----------
    forehead, cheek, jaw, chin
        Half widths of the face from top to bottom.
    eye_y, eye_x, brow_y, nose_y, mouth_y
        Places: the eyes' centers at (±eye_x, eye_y), the nose's lower end, the lips' middle.
    """

    forehead: float
    cheek: float
    jaw: float
    chin: float
    eye_y: float
    eye_x: float
    brow_y: float
    nose_y: float
    mouth_y: float

    def outline(self) -> Points:
        """Control points of the face, closed, clockwise from the crown."""
        return symmetric(
            [
                (0.0, -1.0),
                (self.forehead * 0.62, -0.9),
                (self.forehead, -0.48),
                (self.cheek, 0.05),
                (self.jaw, 0.52),
                (self.chin, 0.88),
                (0.0, 1.0),
            ]
        )


def draw_pose(rng: Rng) -> Pose:
    """Choose a pose: a turn of at most 8 degrees, small shifts and scales."""
    scale, angle = rng.uniform(0.27, 0.31), math.radians(rng.uniform(-8.0, 8.0))
    x, y = 0.5 + rng.uniform(-0.04, 0.04), 0.475 + rng.uniform(-0.02, 0.02)
    # The neck follows the turned chin, or a tilted head would come off its neck.
    body_x = x - 0.75 * math.sin(angle) * scale
    light = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.45, 1.0))
    return Pose(Frame(x, y, scale, angle), Frame(body_x, y, scale), light)


def draw_head(rng: Rng) -> Head:
    """Choose a face between long and round, narrow and square."""
    cheek = rng.uniform(0.67, 0.80)
    eye_y = rng.uniform(-0.06, 0.01)
    return Head(
        forehead=cheek * rng.uniform(0.92, 0.99),
        cheek=cheek,
        jaw=cheek * rng.uniform(0.75, 0.93),
        chin=rng.uniform(0.24, 0.44),
        eye_y=eye_y,
        eye_x=cheek * rng.uniform(0.42, 0.47),
        brow_y=eye_y - rng.uniform(0.235, 0.28),
        nose_y=eye_y + rng.uniform(0.36, 0.42),
        mouth_y=rng.uniform(0.57, 0.62),
    )
