"""Object and background of single images, with what was learned from the set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file
from skimage.filters import threshold_otsu

from heml.segmentation.prediction import Prediction
from heml.segmentation.unsupervised.fitted import WEIGHTS
from heml.segmentation.unsupervised.prior import stretched
from heml.segmentation.unsupervised.regions import find_regions, working_image
from heml.segmentation.unsupervised.saliency import saliency

#: Spread of CIELAB values below which nothing in an image stands out.
_FLAT = 0.5


class ObjectFinder:
    """What stands out of its image where the set's objects are.

    Parameters
    ----------
    prior : ndarray of float32, shape (32, 32)
    leaves : sequence of str
        Two.
    background : str
        The one of them that lies behind.
    name : str
    """

    licence = None
    accelerated = False

    def __init__(self, prior: np.ndarray, leaves: Sequence[str], background: str, name: str):
        self.name, self.leaves = name, list(leaves)
        self._prior, self._behind = prior, self.leaves.index(background)

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Segments of RGB images, uint8 (height, width, 3), of any sizes.

        An image in which nothing stands out is background, without an object.
        """
        return [self._one(pixels) for pixels in images]

    def _one(self, pixels: np.ndarray) -> Prediction:
        height, width = pixels.shape[:2]
        objectness = np.asarray(
            Image.fromarray(self._objectness(pixels).astype(np.float32)).resize(
                (width, height), Image.Resampling.BILINEAR
            )
        )
        behind, before = self._behind, 1 - self._behind
        ids = np.where(objectness > 0.5, before, behind).astype(np.uint8)
        sure = np.maximum(objectness, 1 - objectness)
        return Prediction(ids, {int(i): float(sure[ids == i].mean()) for i in np.unique(ids)})

    def _objectness(self, pixels: np.ndarray) -> np.ndarray:
        """Share of object at the working size; the image's own threshold is 0.5."""
        regions = find_regions(working_image(pixels))
        if np.ptp(regions.colors, axis=0).max() < _FLAT:
            return np.zeros(regions.labels.shape)
        likely = regions.means(stretched(self._prior, regions.labels.shape))
        found = saliency(regions, likely)[regions.labels]
        limit = threshold_otsu(found)
        below, above = limit - found.min(), found.max() - limit
        scaled = (found - limit) / (2 * np.where(found > limit, above, below).clip(1e-9))
        return 0.5 + scaled


def load_finder(
    folder: Path, leaves: Sequence[str], background: str, name: str, device: str
) -> ObjectFinder:
    """A fitted finder of objects from its folder in the store."""
    return ObjectFinder(load_file(folder / WEIGHTS)["prior"], leaves, background, name)
