"""One portrait from attribute values and a seed: the order of the parts, and nothing of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from heml.sources.portraits.backdrop import draw_background
from heml.sources.portraits.build import draw_head, draw_pose
from heml.sources.portraits.canvas import Canvas, Plane, Rng, soft
from heml.sources.portraits.face import (
    draw_brows,
    draw_eyes,
    draw_head_skin,
    draw_mouth,
    draw_nose,
    skin_color,
)
from heml.sources.portraits.hair import HairPainter
from heml.sources.portraits.hairstyles import choose_hair, hair_color
from heml.sources.portraits.outfit import draw_clothes, draw_hat, draw_neck, hat_rim
from heml.sources.portraits.vocabulary import ATTRIBUTES, check_attributes, random_value

MINIMUM_SIZE = 32

# Names of the random streams. New names go to the end: a position is part of the seed.
_STREAMS = (
    "attributes",
    "pose",
    "head",
    "background",
    "skin",
    "face",
    "hair_style",
    "hair_color",
    "hair_strands",
    "neck",
    "clothes",
    "eyes",
    "brows",
    "nose",
    "mouth",
    "hat",
    "grain",
)


@dataclass(frozen=True)
class Portrait:
    """A drawn portrait.

    Attributes
    ----------
    image
        (size, size, 3) uint8 RGB.
    mask
        (size, size) uint8 class ids, positions in `CLASSES`; exact.
    attributes
        A value for every attribute of `ATTRIBUTES`.
    """

    image: np.ndarray
    mask: np.ndarray
    attributes: dict[str, str]


def draw(attributes: Mapping[str, str], seed: int, size: int = 128) -> Portrait:
    """Draw one portrait.

    Every part draws its choices from a stream of its own, so changing an attribute changes the
    pixels of the segments that carry it (`CARRIERS`) and no others.

    Parameters
    ----------
    attributes
        Values to fix; attributes that are not given are drawn at random from the seed: uniform,
        but "hat" worn in about 20 percent.
    seed
        Non-negative seed. The same arguments give the same bytes.
    size
        Side of the image in pixels, at least 32.

    Returns
    -------
    Portrait
        Image, mask and all attribute values.

    Raises
    ------
    ValueError
        For an unknown attribute or value (naming the nearest valid one), a negative seed, or a
        size below 32.
    """
    check_attributes(attributes)
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    if size < MINIMUM_SIZE:
        raise ValueError(f"size must be at least {MINIMUM_SIZE}, got {size}")
    chosen = _complete(attributes, seed)
    canvas = Canvas(size)
    pose, head = draw_pose(_stream(seed, "pose")), draw_head(_stream(seed, "head"))
    skin = skin_color(_stream(seed, "skin"), chosen["skin_tone"])
    hair = HairPainter(
        canvas,
        pose,
        head,
        choose_hair(_stream(seed, "hair_style")),
        hair_color(_stream(seed, "hair_color"), chosen["hair_tone"]),
        _stream(seed, "hair_strands"),
        hat_rim(head) if chosen["hat"] == "worn" else None,
    )
    draw_background(canvas, _stream(seed, "background"), chosen["background"])
    hair.back_layer()
    draw_neck(canvas, _stream(seed, "neck"), pose, head, skin)
    draw_clothes(canvas, _stream(seed, "clothes"), pose, chosen["clothes_tone"])
    shadow = _cast(canvas.plane(hair.front))
    draw_head_skin(canvas, _stream(seed, "face"), pose, head, skin, shadow)
    draw_mouth(canvas, _stream(seed, "mouth"), pose, head, chosen["mouth"])
    draw_nose(canvas, _stream(seed, "nose"), pose, head, chosen["nose"], skin)
    draw_eyes(canvas, _stream(seed, "eyes"), pose, head, chosen["eyes"], skin)
    draw_brows(canvas, _stream(seed, "brows"), pose, head, chosen["brows"])
    hair.front_layer()
    if chosen["hat"] == "worn":
        draw_hat(canvas, _stream(seed, "hat"), pose, head)
    picture, mask = canvas.finish()
    return Portrait(_expose(picture, _stream(seed, "grain")), mask, chosen)


def _stream(seed: int, name: str) -> Rng:
    return np.random.default_rng([seed, _STREAMS.index(name)])


def _complete(attributes: Mapping[str, str], seed: int) -> dict[str, str]:
    rng = _stream(seed, "attributes")
    # Every attribute takes its number, given or not: giving one must not change the others.
    return {name: attributes.get(name, random_value(name, rng)) for name in ATTRIBUTES}


def _cast(front: Plane) -> Plane:
    """Shadow that hair throws on the skin below it."""
    fall = round(0.02 * front.shape[0])
    return soft(np.roll(front, fall, axis=0), 0.02)


def _expose(picture: Plane, rng: Rng) -> np.ndarray:
    """Add exposure and grain, the same whatever is in the picture."""
    gain, sigma = rng.uniform(0.95, 1.04), rng.uniform(0.004, 0.011)
    grain = rng.standard_normal(picture.shape[:2], np.float32)[..., None] * np.float32(sigma)
    values = picture * np.float32(gain) + grain
    return np.asarray(np.clip(values * 255.0 + 0.5, 0.0, 255.0), np.uint8)
