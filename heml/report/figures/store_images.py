"""Single images, segments and node views of a store."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from heml.images.images_table import ImageReader, decode_image
from heml.metrics.views import node_view, union
from heml.segmentation.masks import SegmentReader
from heml.storage.store import Store
from heml.taxonomy import Taxonomy


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
