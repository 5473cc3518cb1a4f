"""Segments of train images as small maps of numbers, for the arm that pastes them at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heml.effect.training_images import resize_ids
from heml.segmentation.masks import SegmentReader
from heml.storage.store import Store


def segment_ids(store: Store, image_ids: Sequence[str], size: int) -> np.ndarray:
    """Number of the segment of every pixel, uint8 array (N, size, size); 0 for none.

    Numbers are counted within an image; a later segment covers an earlier one.
    """
    reader = SegmentReader(store)
    maps = np.zeros((len(image_ids), size, size), np.uint8)
    for place, image_id in enumerate(image_ids):
        masks = list(reader.masks(image_id).values())[:255]
        if masks:
            ids = np.zeros(masks[0].shape, np.uint8)
            for number, mask in enumerate(masks, start=1):
                ids[mask] = number
            maps[place] = resize_ids(ids, size)
    return maps
