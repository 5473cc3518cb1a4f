"""Reading images from the store: each is decoded once while it is needed, never all at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from heml.images.images_table import ImageReader, decode_image
from heml.recombination.imaging.segmented_image import SegmentedImage
from heml.segmentation.masks import SegmentReader
from heml.storage.store import Store

#: Decoded images that are kept, in bytes of their arrays, and row groups of encoded ones.
_CACHE_BYTES, _CACHE_ENCODED = 384 << 20, 64 << 20


class SegmentedImageReader:
    """Images by image id.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._images = ImageReader(store, _CACHE_ENCODED)
        self._segments = SegmentReader(store)
        self._cache: OrderedDict[str, SegmentedImage] = OrderedDict()
        self._bytes = 0

    def read(self, image_ids: Sequence[str]) -> list[SegmentedImage]:
        """Images in the order of the ids, which may repeat."""
        missing = [i for i in dict.fromkeys(image_ids) if i not in self._cache]
        fresh = {}
        for image_id, row in zip(missing, self._images.rows(missing, ["image"]), strict=True):
            image = decode_image(row["image"]["bytes"])
            fresh[image_id] = SegmentedImage(image, self._segments.masks(image_id))
        segmented_images = [fresh[i] if i in fresh else self._cache[i] for i in image_ids]
        for image_id, segmented_image in fresh.items():
            self._cache[image_id] = segmented_image
            self._bytes += _size(segmented_image)
        for image_id in image_ids:
            self._cache.move_to_end(image_id)
        while len(self._cache) > 1 and self._bytes > _CACHE_BYTES:
            _, dropped = self._cache.popitem(last=False)
            self._bytes -= _size(dropped)
        return segmented_images


def _size(segmented_image: SegmentedImage) -> int:
    # Masks, their label map, and what takes longest to make: the mattes of two sets of classes and
    # the scenery without its foreground.
    pixels = segmented_image.size[0] * segmented_image.size[1]
    return pixels * (3 + len(segmented_image.masks) + 2 + 2 * 4 + 3)
