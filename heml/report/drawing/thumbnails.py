"""Images scaled, encoded, tinted by segment and side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from heml.metrics.views import union
from heml.taxonomy import BACKGROUND, Taxonomy

#: Colors of leaves in overlays: neighbors differ in lightness as well as in hue.
OVERLAY = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7b5aa6",
    "#a6761d", "#66c2a5", "#e7298a", "#1f4e79", "#b2df8a", "#999999", "#6a3d3d", "#fdbf6f",
)  # fmt: skip


#: Width of outlines in pixels.
_LINE = 3


def fitted(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The image scaled into a box of a few pixels, uint8 (h, w, 3) with h, w at most the box."""
    original = Image.fromarray(image)
    scale = min(width / original.width, height / original.height)
    size = max(round(original.width * scale), 1), max(round(original.height * scale), 1)
    return np.asarray(original.resize(size, Image.Resampling.LANCZOS))


def encoded(image: np.ndarray, width: int, height: int) -> bytes:
    """A thumbnail as WebP, no larger than the box nor than the image itself."""
    width, height = min(width, image.shape[1]), min(height, image.shape[0])
    buffer = io.BytesIO()
    Image.fromarray(fitted(image, width, height)).save(buffer, "WEBP", quality=82, method=2)
    return buffer.getvalue()


def leaf_colors(taxonomy: Taxonomy) -> dict[str, str]:
    """A color per leaf; they repeat if there are more leaves than colors."""
    return {leaf: OVERLAY[i % len(OVERLAY)] for i, leaf in enumerate(taxonomy.leaves)}


def overlaid(
    image: np.ndarray, segments: Mapping[str, np.ndarray], taxonomy: Taxonomy, strength: float = 0.6
) -> np.ndarray:
    """The image with the pixels of each leaf tinted in the leaf's color."""
    result = image.astype(np.float32)
    for leaf, color in leaf_colors(taxonomy).items():
        mask = union(segments, taxonomy.classes_of(leaf))
        if mask is not None:
            rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
            result[mask] = (1 - strength) * result[mask] + strength * rgb
    return np.clip(result + 0.5, 0, 255).astype(np.uint8)


def outlined(
    image: np.ndarray, segments: Mapping[str, np.ndarray], taxonomy: Taxonomy, side: int
) -> np.ndarray:
    """The image in a square box, each leaf with a line along its inner edge in the leaf's color.

    Parameters
    ----------
    image : ndarray of uint8, shape (height, width, 3)
    segments : mapping of str to ndarray of bool, shape (height, width)
        By class.
    taxonomy : Taxonomy
        Its leaf `background` has no line: it ends where the others do.
    side : int
        Of the box in pixels.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        At most as large as the box, and as the image.
    """
    result = fitted(image, min(side, image.shape[1]), min(side, image.shape[0])).copy()
    height, width = result.shape[:2]
    for leaf, color in leaf_colors(taxonomy).items():
        mask = union(segments, taxonomy.classes_of(leaf))
        if mask is None or leaf == BACKGROUND:
            continue
        small = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        # Where the image ends, a segment does not.
        inside = binary_erosion(small, iterations=_LINE, border_value=1)
        around = binary_dilation(small) & ~small
        result[around] = 255
        result[small & ~inside] = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return result


def side_by_side(images: Sequence[np.ndarray], height: int, gap: int = 6) -> np.ndarray:
    """Images of one height in a row on white, uint8 (height, W, 3)."""
    parts: list[np.ndarray] = []
    for image in images:
        if parts:
            parts.append(np.full((height, gap, 3), 255, np.uint8))
        width = max(round(image.shape[1] * height / image.shape[0]), 1)
        parts.append(np.asarray(Image.fromarray(image).resize((width, height))))
    return np.concatenate(parts, axis=1)
