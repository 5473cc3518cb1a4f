"""Superpixels of an image: their colors, places and neighbors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.spatial.distance import pdist, squareform
from skimage.color import rgb2lab
from skimage.segmentation import slic

#: Longest side that regions are made at: object and background are coarse things.
SIDE = 160
_REGIONS = 200
#: Shorter sides are enlarged: superpixels need some pixels.
_SHORTEST = 8


@dataclass(frozen=True)
class Regions:
    """Superpixels of one image.

    Parameters
    ----------
    labels : ndarray of int32, shape (height, width)
        Superpixel of each pixel, 0 to n - 1, at the working size.
    colors : ndarray of float64, shape (n, 3)
        Mean CIELAB color.
    places : ndarray of float64, shape (n, 2)
        Mean row and column, each 0 to 1.
    areas : ndarray of float64, shape (n,)
        Share of the image; sums to 1.
    border : ndarray of float64, shape (n,)
        Share of the image's border pixels; sums to 1.
    pairs : ndarray of int, shape (m, 2)
        Superpixels that touch, the lower index first.
    """

    labels: np.ndarray
    colors: np.ndarray
    places: np.ndarray
    areas: np.ndarray
    border: np.ndarray
    pairs: np.ndarray

    def __len__(self) -> int:
        return len(self.areas)

    def apart(self) -> np.ndarray:
        """Distance of colors, CIELAB units, (n, n): computed anew, as many images are kept."""
        return squareform(pdist(self.colors))

    def away(self) -> np.ndarray:
        """Distance of places, sides of the image, (n, n)."""
        return squareform(pdist(self.places))

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean over each superpixel of values of pixels, (height, width)."""
        flat = self.labels.ravel()
        return np.bincount(flat, values.ravel(), len(self)) / np.bincount(flat)


def working_image(pixels: np.ndarray, side: int = SIDE) -> np.ndarray:
    """An image at the size that is worked at: its longest side is `side`, none is below 8.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB.
    side : int
    """
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = max(_SHORTEST, round(width * scale)), max(_SHORTEST, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def find_regions(image: np.ndarray) -> Regions:
    """Superpixels by SLIC (Achanta et al., TPAMI 2012).

    Parameters
    ----------
    image : ndarray of uint8, shape (height, width, 3)
        RGB, at the working size. A flat one is divided by place alone.
    """
    lab = rgb2lab(image)
    found = slic(image, _REGIONS, compactness=10.0, start_label=0)
    labels = np.unique(found, return_inverse=True)[1].reshape(found.shape).astype(np.int32)
    count = int(labels.max()) + 1
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count)
    height, width = labels.shape

    def means(values: np.ndarray) -> np.ndarray:
        return np.bincount(flat, values.ravel(), count) / sizes

    rows, columns = np.mgrid[:height, :width]
    places = [means((rows + 0.5) / height), means((columns + 0.5) / width)]
    edge = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    return Regions(
        labels,
        np.stack([means(channel) for channel in np.moveaxis(lab, -1, 0)], 1),
        np.stack(places, 1),
        sizes / sizes.sum(),
        np.bincount(edge, minlength=count) / len(edge),
        _touching(labels),
    )


def _touching(labels: np.ndarray) -> np.ndarray:
    beside = np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()], 1)
    below = np.stack([labels[:-1].ravel(), labels[1:].ravel()], 1)
    pairs = np.sort(np.concatenate([beside, below]), 1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return np.unique(pairs, axis=0).reshape(-1, 2)
