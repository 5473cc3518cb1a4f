"""Alpha mattes: how much of each pixel at a segment's outline is the segment, and in which color.

A mask says which side a pixel is on; fur, hair and blurred edges are on both. Closed-form matting
(Levin, Lischinski & Weiss, PAMI 2008, by pymatting) finds the share, and blur fusion (Forte &
Pitié, ICIP 2021) the color that the segment would have there by itself. With both, a segment is put
before another scene without a rim of the old one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt, uniform_filter

from heml.images.bounding_box import bounding_box
from heml.images.closed_form import closed_form_alpha
from heml.metrics.views import union
from heml.recombination.imaging.segmented_image import SegmentedImage

#: Half the width of the unclear band at an outline, as a share of the shorter side, and its bounds
#: in pixels: annotated outlines are a few pixels off at any size, and fur grows with the image.
BAND, LEAST_BAND, MOST_BAND = 0.012, 2.0, 12.0
#: A thin segment keeps a sure core: the band takes at most this share of its half width.
CORE = 0.6
#: Pixels of a piece that is solved at its own size.
MOST_PIXELS = 640 * 640
#: Context around the unclear band, in pixels: the matting Laplacian looks this far, and more.
MARGIN = 6
#: Windows of the two passes of blur fusion, in pixels.
FAR, NEAR = 91, 7
#: Opacity from which a pixel counts as the segment's, of 255.
SOLID = 128


class Matte(NamedTuple):
    """A segment with soft edges.

    Parameters
    ----------
    alpha : uint8 array (H, W)
        Opacity, 0 to 255.
    color : uint8 array (H, W, 3)
        The segment's own RGB where it is not fully transparent; the image's elsewhere.
    """

    alpha: np.ndarray
    color: np.ndarray


def segment_matte(image: SegmentedImage, classes: Sequence[str]) -> Matte | None:
    """The matte of some classes together, computed once per image; None if all are absent.

    Pixels of no class count as unclear: annotators leave out what belongs to two segments.
    """
    chosen = tuple(classes)
    inside = union(image.masks, chosen)
    if inside is None or not inside.any():
        return None

    def measure() -> Matte:
        classless = ~np.logical_or.reduce([*image.masks.values()])
        return estimate_matte(image.image, inside, classless & ~inside)

    return image.once(("matte", chosen), measure)


def estimate_matte(image: np.ndarray, inside: np.ndarray, unclear: np.ndarray) -> Matte:
    """Opacity and own colors of a segment.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
    inside, unclear : bool arrays (H, W)
        The segment, and pixels that may belong to it or not.

    Returns
    -------
    Matte
    """
    trimap = trimap_of(inside, unclear)
    unknown = (trimap > 0) & (trimap < 1)
    alpha = (trimap * 255).astype(np.uint8)
    box = bounding_box(unknown)
    if box is None:
        return Matte(alpha, image)
    left, top, right, bottom = box
    part = (
        slice(max(top - MARGIN, 0), bottom + MARGIN),
        slice(max(left - MARGIN, 0), right + MARGIN),
    )
    soft, own = _solved(image[part], trimap[part])
    alpha[part] = np.where(unknown[part], soft, alpha[part])
    color = image.copy()
    # Solid pixels keep the photograph's color to the bit.
    mixed = (alpha[part] > 0) & (alpha[part] < 255)
    color[part][mixed] = own[mixed]
    return Matte(alpha, color)


def _solved(image: np.ndarray, trimap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Opacity and own colors, uint8 (H, W) and (H, W, 3), of a piece of a picture.

    A large piece is solved at a smaller size: memory grows with its pixels, and an outline is no
    sharper than the annotation of it.
    """
    height, width = trimap.shape
    factor = max((height * width / MOST_PIXELS) ** 0.5, 1.0)
    if factor > 1:
        size = (max(round(width / factor), 1), max(round(height / factor), 1))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
        # Nearest: a mean of inside and outside would be sure of being neither.
        trimap = np.asarray(Image.fromarray(trimap).resize(size, Image.Resampling.NEAREST))
    piece = image.astype(np.float64) / 255
    soft = (closed_form_alpha(piece, trimap.astype(np.float64)) * 255).round().astype(np.uint8)
    own = (_own_color(piece, soft / 255) * 255).round().astype(np.uint8)
    if factor > 1:
        soft, own = (
            np.asarray(Image.fromarray(a).resize((width, height), Image.Resampling.BILINEAR))
            for a in (soft, own)
        )
    return soft, own


def trimap_of(inside: np.ndarray, unclear: np.ndarray) -> np.ndarray:
    """What is sure and what is not: 1 inside, 0 outside, 0.5 along the outline; float32 (H, W).

    Parameters
    ----------
    inside, unclear : bool arrays (H, W)
    """
    band = float(np.clip(BAND * min(inside.shape), LEAST_BAND, MOST_BAND))
    trimap = np.full(inside.shape, 0.5, np.float32)
    for side, value in ((inside & ~unclear, 1.0), (~inside & ~unclear, 0.0)):
        if side.all():
            trimap[:] = value
        elif side.any():
            depth = distance_transform_edt(side)
            trimap[depth > min(band, CORE * float(depth.max()))] = value
    return trimap


def _own_color(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """RGB of the segment by itself, float (H, W, 3) in [0, 1]."""
    front, back = image, image
    opacity = alpha[..., None]
    for size in (FAR, NEAR):
        front_mean = _mean(front, opacity, size)
        back_mean = _mean(back, 1 - opacity, size)
        rest = image - opacity * front_mean - (1 - opacity) * back_mean
        front = np.clip(front_mean + opacity * rest, 0, 1)
        back = np.clip(back_mean + (1 - opacity) * rest, 0, 1)
    return front


def _mean(values: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """Weighted mean of each pixel's surroundings."""
    sizes = (size, size, 0)
    total = uniform_filter(values * weights, sizes, mode="nearest")
    mean: np.ndarray = total / (uniform_filter(weights, sizes, mode="nearest") + 1e-5)
    return mean
