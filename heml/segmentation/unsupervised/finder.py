"""Object and background of single images, as segments of two leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import load_file

from heml.segmentation.prediction import Prediction
from heml.segmentation.unsupervised.fitted import WEIGHTS
from heml.segmentation.unsupervised.model import ObjectModel, from_tensors, look
from heml.segmentation.unsupervised.outline import outlined
from heml.segmentation.unsupervised.regions import working_image


class ObjectFinder:
    """A fitted model as what finds segments.

    Parameters
    ----------
    model : ObjectModel
    leaves : sequence of str
        Two.
    background : str
        The one of them that lies behind.
    name : str
    """

    licence = None
    accelerated = False

    def __init__(
        self, model: ObjectModel, leaves: Sequence[str], background: str, name: str
    ) -> None:
        self.name, self.leaves = name, list(leaves)
        self._model, self._behind = model, self.leaves.index(background)

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Segments of RGB images, uint8 (height, width, 3), of any sizes.

        An image in which nothing stands out is background, without an object.
        """
        return [self._one(pixels) for pixels in images]

    def _one(self, pixels: np.ndarray) -> Prediction:
        height, width = pixels.shape[:2]
        small = working_image(pixels)
        seen = look(small)
        found = self._model.objectness(seen)[seen.regions.labels]
        alpha = outlined(small, found)
        opacity, objectness = (
            np.asarray(
                Image.fromarray(plane.astype(np.float32)).resize(
                    (width, height), Image.Resampling.BILINEAR
                )
            )
            for plane in (alpha, found)
        )
        behind, before = self._behind, 1 - self._behind
        ids = np.where(opacity > 0.5, before, behind).astype(np.uint8)
        sure = np.maximum(objectness, 1 - objectness)
        return Prediction(ids, {int(i): float(sure[ids == i].mean()) for i in np.unique(ids)})


def load_finder(folder: Path, leaves: Sequence[str], background: str, name: str) -> ObjectFinder:
    """A fitted finder of objects from its folder in the store."""
    return ObjectFinder(from_tensors(load_file(folder / WEIGHTS)), leaves, background, name)
