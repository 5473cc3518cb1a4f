"""Drawing tools shared by all parts: the canvas, head and body frames, curves, colors, noise.

Nothing here knows what a face is.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw
from scipy.ndimage import gaussian_filter

from heml.sources.portraits.vocabulary import CLASSES

SUPERSAMPLING = 3

Points = NDArray[np.float64]
# float32 throughout; the wider type only spares casts after every product.
Plane = NDArray[np.floating]
Color = NDArray[np.floating]
Texture = NDArray[np.floating]
Rng = np.random.Generator

# Shadows of warm things lose blue first; gray shadows look dirty.
_SHADOW_TINT = np.array([1.0, 1.12, 1.2], np.float32).reshape(3, 1, 1)

_CIRCLE = np.linspace(0.0, 2 * np.pi, 36, endpoint=False)
_CIRCLE_X, _CIRCLE_Y = np.cos(_CIRCLE), np.sin(_CIRCLE)


@dataclass(frozen=True)
class Frame:
    """A turned, scaled and shifted coordinate system on the image.

    Attributes
    ----------
    x, y
        Place of its origin, as shares of the image side.
    scale
        Length of its unit, as a share of the image side.
    angle
        Clockwise turn in radians.
    """

    x: float
    y: float
    scale: float
    angle: float = 0.0

    def place(self, points: Points) -> Points:
        """Move points of this frame, shape (..., 2), to shares of the image side."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turned = points @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray(turned * self.scale + (self.x, self.y))

    def grid(self, size: int) -> tuple[Plane, Plane]:
        """Coordinates in this frame of all pixel centers: two (size, size) planes."""
        line = (np.arange(size, dtype=np.float32) + 0.5) / size
        x = (line[None, :] - np.float32(self.x)) / np.float32(self.scale)
        y = (line[:, None] - np.float32(self.y)) / np.float32(self.scale)
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return x * cos + y * sin, y * cos - x * sin


class Canvas:
    """An image and its class ids, both drawn enlarged and reduced together at the end.

    Every part is one binary shape that is painted and, with the same pixels, labeled: that is
    what makes the mask exact.

    Parameters
    ----------
    size
        Side of the finished image in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.side = size * SUPERSAMPLING
        self._rgb = Image.new("RGB", (self.side, self.side))
        self._ids = Image.new("L", (self.side, self.side))

    def shape(self) -> Image.Image:
        """Return an empty shape: an enlarged 8-bit image, 0 outside and 255 inside."""
        return Image.new("L", (self.side, self.side))

    def fill(
        self, frame: Frame, points: Points, into: Image.Image | None = None, value: int = 255
    ) -> Image.Image:
        """Fill a polygon of frame points (n, 2), or many, (k, n, 2), into a shape.

        Returns the shape: `into`, or a new one by default.
        """
        target = self.shape() if into is None else into
        brush = ImageDraw.Draw(target)
        for flat in self._flat(frame, points):
            brush.polygon(flat, fill=value)
        return target

    def stroke(
        self,
        frame: Frame,
        points: Points,
        width: float,
        into: Image.Image | None = None,
        value: int = 255,
    ) -> Image.Image:
        """Draw a line of `width` frame units through points (n, 2), or many, into a shape.

        Returns the shape: `into`, or a new one by default.
        """
        target = self.shape() if into is None else into
        brush = ImageDraw.Draw(target)
        pixels = max(1, round(width * frame.scale * self.side))
        # Round joints take long and show on thick lines alone.
        joint = "curve" if pixels > 5 else None
        for flat in self._flat(frame, points):
            brush.line(flat, fill=value, width=pixels, joint=joint)
        return target

    def _flat(self, frame: Frame, points: Points) -> list[list[float]]:
        """Turn polygons (n, 2) or (k, n, 2) into Pillow's lists of x, y, x, y."""
        placed = frame.place(points) * self.side
        return placed.reshape(-1, placed.shape[-2] * 2).tolist()

    def paint(
        self,
        shape: Image.Image,
        texture: Texture,
        name: str | None = None,
        within: Image.Image | None = None,
    ) -> None:
        """Paint a shape, and label it.

        Parameters
        ----------
        shape
            Where; values between 0 and 255 mix, and are for details without a label only.
        texture
            One color, shape (3, 1, 1), or a color for each finished pixel, (3, size, size), in
            [0, 1].
        name
            The class to label the pixels with; None for a detail of what is already there.
        within
            A shape that the detail must not leave.
        """
        box = shape.getbbox()
        if box is None:
            return
        # Most parts are small: working in their box alone saves most of the time. The box
        # starts and ends on finished pixels.
        x0, y0 = box[0] // SUPERSAMPLING, box[1] // SUPERSAMPLING
        x1, y1 = -(-box[2] // SUPERSAMPLING), -(-box[3] // SUPERSAMPLING)
        first_x, first_y = x0 * SUPERSAMPLING, y0 * SUPERSAMPLING
        place = (first_x, first_y, x1 * SUPERSAMPLING, y1 * SUPERSAMPLING)
        part = shape.crop(place)
        if within is not None:
            part = ImageChops.darker(part, within.crop(place))
        flat = texture.shape == (3, 1, 1)
        values = texture if flat else texture[:, y0:y1, x0:x1]
        values = (np.clip(values, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
        if flat:
            red, green, blue = values.ravel().tolist()
            self._rgb.paste((red, green, blue), place, part)
        else:
            large = Image.fromarray(np.ascontiguousarray(values.transpose(1, 2, 0))).resize(
                part.size, Image.Resampling.NEAREST
            )
            self._rgb.paste(large, place, part)
        if name is not None:
            self._ids.paste(CLASSES.index(name), place, part)

    def plane(self, shape: Image.Image) -> Plane:
        """Share of each finished pixel that a shape covers: (size, size), in [0, 1]."""
        return np.asarray(shape.reduce(SUPERSAMPLING), np.float32) / np.float32(255.0)

    def finish(self) -> tuple[Plane, NDArray[np.uint8]]:
        """Reduce to the finished size.

        Returns
        -------
        tuple
            The picture, (size, size, 3) float32 in [0, 1], and the class that covers most of
            each pixel, (size, size) uint8.
        """
        rgb = np.asarray(self._rgb.reduce(SUPERSAMPLING), np.float32) / np.float32(255.0)
        grid = np.asarray(self._ids).reshape(self.size, SUPERSAMPLING, self.size, SUPERSAMPLING)
        blocks = grid.transpose(0, 2, 1, 3).reshape(self.size**2, SUPERSAMPLING**2)
        mask = blocks[:, 0].copy()
        # Counting is for the few pixels on a boundary; the others are of one class.
        mixed = np.flatnonzero((blocks != mask[:, None]).any(axis=1))
        counts = (blocks[mixed][:, :, None] == np.arange(len(CLASSES), dtype=np.uint8)).sum(axis=1)
        mask[mixed] = np.argmax(counts, axis=1)
        return rgb, mask.reshape(self.size, self.size)


def curve(points: Points, closed: bool = True, steps: int = 7) -> Points:
    """Smooth line through points (Catmull-Rom).

    Parameters
    ----------
    points
        Shape (n, 2), n at least 3.
    closed
        Whether the line returns to its first point.
    steps
        Points of the result for each span.

    Returns
    -------
    numpy.ndarray
        Shape (spans * steps [+ 1 if open], 2); passes through all given points.
    """
    given = np.asarray(points, np.float64)
    if closed:
        padded = np.concatenate([given[-1:], given, given[:2]])
    else:
        padded = np.concatenate([given[:1], given, given[-1:]])
    before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[None, :, None]
    before, start, end, after = (part[:, None, :] for part in (before, start, end, after))
    line = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )
    line = line.reshape(-1, 2)
    return line if closed else np.concatenate([line, given[-1:]])


def symmetric(right: Sequence[tuple[float, float] | Points]) -> Points:
    """Close a right half, given from top to bottom, with its mirror image: shape (n, 2)."""
    half = np.array(right, np.float64)
    left = half[::-1] * (-1.0, 1.0)
    # Points on the axis would otherwise appear twice and make a kink.
    return np.concatenate([half, left[np.abs(left[:, 0]) > 1e-9]])


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    """Points (36, 2) of an ellipse, turned by `turn` radians around its center."""
    return ellipses(*(np.array([number]) for number in (x, y, rx, ry, turn)))[0]


def ellipses(x: Points, y: Points, rx: Points, ry: Points, turn: Points | float = 0.0) -> Points:
    """Points (k, 36, 2) of many ellipses; every argument has shape (k,)."""
    across, down = rx[:, None] * _CIRCLE_X, ry[:, None] * _CIRCLE_Y
    cos, sin = np.cos(turn), np.sin(turn)
    if isinstance(turn, np.ndarray):
        cos, sin = cos[:, None], sin[:, None]
    right = x[:, None] + across * cos - down * sin
    return np.stack([right, y[:, None] + across * sin + down * cos], axis=2)


def color(hue: float, saturation: float, value: float) -> Color:
    """Color from hue (any number, 1 is a full turn), saturation and value: (3, 1, 1) float32.

    Colors lead with their channel, so that they multiply with planes (size, size) as they are.
    """
    return rgb(*colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def rgb(red: float, green: float, blue: float) -> Color:
    """Color, or factors of one, from its channels: (3, 1, 1) float32."""
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1)


def mix(first: Texture, second: Texture, share: Plane | float) -> Texture:
    """Blend two colors or textures; `share` of the second, a number or a (size, size) plane."""
    weight = np.asarray(share, np.float32)
    return first + (second - first) * weight


def lit(base: Texture, factor: Plane) -> Texture:
    """Texture (3, size, size): `base` brightened or darkened by a factor plane around 1."""
    tinted = np.asarray(factor, np.float32) * _SHADOW_TINT
    tinted += 1.0 - _SHADOW_TINT
    return tinted * base


def smooth_noise(rng: Rng, size: int, groups: int) -> Plane:
    """Soft noise in about [0, 1], shape (size, size), that varies over 1/`groups` of the side.

    The numbers taken from `rng` do not depend on `size`, so one seed draws the same picture at
    every size.
    """
    grid = Image.fromarray(rng.random((groups, groups)).astype(np.float32))
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC), np.float32)


def soft(plane: Plane, share: float) -> Plane:
    """Blur a plane; `share` is the standard deviation as a share of the side."""
    return np.asarray(gaussian_filter(plane, share * plane.shape[0], mode="nearest"), np.float32)


def step(plane: Plane, width: float) -> Plane:
    """Soft step from 0 to 1 around 0, about `width` wide."""
    return np.clip(plane / np.float32(width) + np.float32(0.5), 0.0, 1.0)
