"""Small changes of an image that leave its segments where they are, or move them as it says."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from PIL import Image

#: Shift as a share of each side; sides of the part that is enlarged, likewise.
_SHIFT, _KEPT = 0.02, 0.9


class Change(ABC):
    """A change without chance, and how segments found after it lie in the image before it."""

    @abstractmethod
    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """The changed image, uint8 (height, width, 3), of the same size."""

    @abstractmethod
    def align(self, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Class indices of the image and of the changed one, where both see the same.

        Parameters
        ----------
        before, after : ndarray of uint8, shape (height, width)

        Returns
        -------
        two ndarrays of uint8, of one shape
            Pixel for pixel of the image as it was; what one of them does not see is left out.
        """


class Mirror(Change):
    """Left for right."""

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(pixels[:, ::-1])

    def align(self, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return before, after[:, ::-1]


class Shift(Change):
    """To the right and down by a 50th of the sides; the edge is repeated where nothing was."""

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        down, right = _step(height), _step(width)
        kept = pixels[: height - down, : width - right]
        return np.pad(kept, ((down, 0), (right, 0), (0, 0)), mode="edge")

    def align(self, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = before.shape
        down, right = _step(height), _step(width)
        return before[: height - down, : width - right], after[down:, right:]


class Zoom(Change):
    """The middle nine tenths of each side, enlarged to the image's size."""

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        rows, columns = _middle(height), _middle(width)
        kept = Image.fromarray(np.ascontiguousarray(pixels[rows, columns]))
        return np.asarray(kept.resize((width, height), Image.Resampling.BILINEAR))

    def align(self, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = before.shape
        kept = before[_middle(height), _middle(width)]
        # Indices of classes must not be mixed.
        small = Image.fromarray(after).resize(kept.shape[::-1], Image.Resampling.NEAREST)
        return kept, np.asarray(small)


#: By the names that recipes use.
IMAGE_CHANGES: dict[str, Change] = {"mirror": Mirror(), "shift": Shift(), "zoom": Zoom()}


def _step(side: int) -> int:
    """Pixels of a shift: at least one, and never the whole side."""
    return min(max(1, round(_SHIFT * side)), side - 1)


def _middle(side: int) -> slice:
    kept = max(1, round(_KEPT * side))
    start = (side - kept) // 2
    return slice(start, start + kept)
