"""Images, segments and node views of a store, as the figures and the report show them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from PIL import Image

from heml.images.images_table import ImageReader, decode_image
from heml.metrics.views import node_view, union
from heml.segmentation.masks import SegmentReader
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

#: Colors of leaves in overlays: neighbors differ in lightness as well as in hue.
OVERLAY = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7b5aa6",
    "#a6761d", "#66c2a5", "#e7298a", "#1f4e79", "#b2df8a", "#999999", "#6a3d3d", "#fdbf6f",
)  # fmt: skip


class StoreImages:
    """Reads single images and their segments of one store.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._images = ImageReader(store)

    def image(self, image_id: str) -> np.ndarray:
        """Pixels, uint8 (H, W, 3)."""
        row = self._images.rows([image_id], ["image"])[0]
        return decode_image(row["image"]["bytes"])

    def segments(self, image_id: str) -> dict[str, np.ndarray]:
        """Class name → bool (H, W)."""
        return self._segments.masks(image_id)

    @cached_property
    def _segments(self) -> SegmentReader:
        # Images are shown before they are segmented.
        return SegmentReader(self._store)

    def view(self, image_id: str, node: str, taxonomy: Taxonomy, side: int) -> np.ndarray | None:
        """What a node sees of an image, uint8 (side, side, 3); None if it is absent."""
        mask = union(self.segments(image_id), taxonomy.classes_of(node))
        if mask is None:
            return None
        return node_view(self.image(image_id), mask, side)[:3].transpose(1, 2, 0)


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


def side_by_side(images: Sequence[np.ndarray], height: int, gap: int = 6) -> np.ndarray:
    """Images of one height in a row on white, uint8 (height, W, 3)."""
    parts: list[np.ndarray] = []
    for image in images:
        if parts:
            parts.append(np.full((height, gap, 3), 255, np.uint8))
        width = max(round(image.shape[1] * height / image.shape[0]), 1)
        parts.append(np.asarray(Image.fromarray(image).resize((width, height))))
    return np.concatenate(parts, axis=1)
