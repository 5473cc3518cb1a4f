"""What tells a superpixel of an object from one of the background, in numbers that mean the same in
every image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from skimage.color import rgb2lab

from heml.segmentation.unsupervised.regions import Regions
from heml.segmentation.unsupervised.saliency import Contrast

#: Width of the strip along each side that counts as that side.
_STRIP = 0.12
#: Superpixels of a side that one is compared with: the most alike.
_ALIKE = 4
#: Spread of the middle of the image, and of what lies around a superpixel.
_MIDDLE, _AROUND = 0.15, 0.1
_TEXTURES = (1, 2, 4)
#: Features of an appearance that come first: color, its deviation, texture.
_SURFACE = 3 + 3 + len(_TEXTURES)


def appearance(image: np.ndarray, regions: Regions, weights: Contrast) -> np.ndarray:
    """Color, texture, and likeness to each side, to the middle and to what lies around.

    Places are not in it: where objects are in a set is known apart from how they look.

    Parameters
    ----------
    image : ndarray of uint8, shape (height, width, 3)
        RGB, at the working size.
    regions : Regions
        Its superpixels.
    weights : Contrast

    Returns
    -------
    ndarray of float32, shape (n, 20)
    """
    lab, apart, away = rgb2lab(image), regions.apart(), regions.away()
    deviations = [
        np.sqrt(regions.means((lab[..., c] - regions.colors[regions.labels, c]) ** 2))
        for c in range(3)
    ]
    blurred = [lab[..., 0], *(gaussian_filter(lab[..., 0], s) for s in _TEXTURES)]
    textures = [regions.means(np.abs(a - b)) for a, b in pairwise(blurred)]
    rows, columns = regions.places.T
    sides = [rows < _STRIP, rows > 1 - _STRIP, columns < _STRIP, columns > 1 - _STRIP]
    to_sides = np.stack([_least(apart[:, side]) for side in sides], 1)
    middle = np.exp(-((regions.places - 0.5) ** 2).sum(1) / (2 * _MIDDLE**2)) * regions.areas
    to_middle = apart @ (middle / middle.sum())
    to_border = apart @ regions.border
    around = np.exp(-(away**2) / (2 * _AROUND**2)) * regions.areas
    np.fill_diagonal(around, 0)
    around /= around.sum(1, keepdims=True).clip(1e-9)
    local = np.linalg.norm(regions.colors - around @ regions.colors, axis=1)
    return np.column_stack(
        [
            regions.colors,
            *deviations,
            *textures,
            to_sides,
            np.sort(to_sides, 1)[:, :2],
            to_middle,
            to_border,
            local,
            np.minimum(weights.connected, 5),
            weights.before,
        ]
    ).astype(np.float32)


def surface(appearance: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """The part of an appearance that does not tell where in its image a superpixel is.

    Parameters
    ----------
    appearance : ndarray of float32, shape (n, 20)
    areas : ndarray of float64, shape (n,)
        Shares of the image.

    Returns
    -------
    ndarray of float32, shape (n, 12)
        Color, its deviation, texture, and color less the image's mean.
    """
    color = appearance[:, :3]
    relative = color - (areas @ color).astype(np.float32)
    return np.concatenate([appearance[:, :_SURFACE], relative], 1)


def context(regions: Regions, objectness: np.ndarray) -> np.ndarray:
    """What each superpixel has to do with the object and the background that were found so far.

    A superpixel's own value is not in it: what is learned is what goes together.

    Parameters
    ----------
    regions : Regions
    objectness : ndarray of float64, shape (n,)
        0 to 1.

    Returns
    -------
    ndarray of float32, shape (n, 13)
    """
    apart, away = regions.apart(), regions.away()
    object_area = objectness * regions.areas + 1e-9
    rest_area = (1 - objectness) * regions.areas + 1e-9
    others = 1 - np.eye(len(regions))
    columns = []
    for of_color, of_place in ((5.0, 9.0), (10.0, 9.0), (8.0, 0.25)):
        alike = np.exp(-(apart**2) / (2 * of_color**2) - away**2 / (2 * of_place**2))
        alike = alike * others + 1e-5
        to_object, to_rest = alike @ object_area, alike @ rest_area
        columns.append(np.log(to_object / object_area.sum() / (to_rest / rest_area.sum())))
        columns.append(to_object / (to_object + to_rest))
    for of_place in (0.07, 0.15):
        near = np.exp(-(away**2) / (2 * of_place**2)) * others + 1e-9
        columns.append((near @ object_area) / (near @ (object_area + rest_area)))
    to_object, to_rest = _paths(regions, objectness)
    columns += [to_object, to_rest, to_object / (to_object + to_rest)]
    share = object_area / object_area.sum()
    offsets = np.linalg.norm(regions.places - share @ regions.places, axis=1)
    size = max(float(np.sqrt(share @ offsets**2)), 0.05)
    columns += [offsets / size, np.full(len(regions), size)]
    return np.column_stack(columns).astype(np.float32)


def _least(apart: np.ndarray) -> np.ndarray:
    """Mean distance to the most alike."""
    if not apart.shape[1]:
        return np.zeros(len(apart))
    return np.sort(apart, 1)[:, :_ALIKE].mean(1)


def _paths(regions: Regions, objectness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the ways, in steps of color, to the surest of the object and of the rest."""
    count = len(regions)
    first, second = regions.pairs.T
    steps = np.linalg.norm(regions.colors[first] - regions.colors[second], axis=1) + 1
    graph = coo_matrix((steps, (first, second)), (count, count)).tocsr()
    order = np.argsort(-objectness, kind="stable")
    ways = []
    for chosen in (order[: max(3, count // 12)], order[-max(3, count // 3) :]):
        lengths = dijkstra(graph, directed=False, indices=chosen)
        lengths[np.arange(len(chosen)), chosen] = np.inf
        ways.append(np.minimum(lengths.min(0), 200))
    return ways[0], ways[1]
