"""What stands out of its image: contrast with what is connected to the border.

After Zhu, Liang, Wei and Sun, Saliency Optimization from Robust Background Detection, CVPR 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from heml.segmentation.unsupervised.regions import Regions

#: Spread of colors that count as one, CIELAB units; of places, and of the border connectivity.
_COLOR, _PLACE, _CONNECTED = 10.0, 0.4, 1.0
#: Smoothness that neighbors of any color have.
_LEAST_SMOOTH = 0.1


def boundary_connectivity(regions: Regions) -> np.ndarray:
    """How far each superpixel's surroundings of like color lie along the border (formula 4).

    Returns
    -------
    ndarray of float64, shape (n,)
        From 0; objects are mostly below 1, backgrounds above.
    """
    count = len(regions)
    at_border = np.flatnonzero(regions.border > 0)
    # all of the border is one frame: a background is connected around an object that cuts it
    around = np.stack(np.meshgrid(at_border, at_border), -1).reshape(-1, 2)
    pairs = np.unique(
        np.concatenate([regions.pairs, np.sort(around[around[:, 0] != around[:, 1]], 1)]), axis=0
    ).reshape(-1, 2)
    steps = _differences(regions, pairs)
    # the least difference to a neighbor is texture, not an edge
    least = np.full(count, np.inf)
    own = _differences(regions, regions.pairs)
    np.minimum.at(least, regions.pairs[:, 0], own)
    np.minimum.at(least, regions.pairs[:, 1], own)
    texture = np.mean(least[np.isfinite(least)]) if np.isfinite(least).any() else 0.0
    # explicit zeros would be no edges
    steps = np.maximum(steps - texture, 1e-9)
    graph = coo_matrix((steps, (pairs[:, 0], pairs[:, 1])), (count, count)).tocsr()
    near = np.exp(-(dijkstra(graph, directed=False) ** 2) / (2 * _COLOR**2))
    # in superpixels, as the formula's weights are tuned to
    span = near @ (regions.areas * count)
    along = near @ (regions.border * len(at_border))
    return along / np.sqrt(span)


@dataclass(frozen=True)
class Contrast:
    """Two weights of each superpixel, from its image alone.

    Parameters
    ----------
    connected : ndarray of float64, shape (n,)
        See `boundary_connectivity`.
    behind : ndarray of float64, shape (n,)
        Weight of being background, 0 to 1: connected to the border.
    before : ndarray of float64, shape (n,)
        Weight of being object, 0 to 1: unlike what is near and connected to the border.
    """

    connected: np.ndarray
    behind: np.ndarray
    before: np.ndarray


def contrast(regions: Regions) -> Contrast:
    """Weights of background and object (formulas 5 to 8)."""
    connected = boundary_connectivity(regions)
    behind = 1 - np.exp(-(connected**2) / (2 * _CONNECTED**2))
    near = np.exp(-(regions.away() ** 2) / (2 * _PLACE**2))
    before = (regions.apart() * near) @ (behind * regions.areas)
    return Contrast(connected, behind, before / max(before.max(), 1e-9))


def saliency(regions: Regions, weights: Contrast, likely: np.ndarray | None = None) -> np.ndarray:
    """How much each superpixel is object (formula 9).

    Parameters
    ----------
    regions : Regions
    weights : Contrast
    likely : ndarray of float64, shape (n,), optional
        How likely an object is at each superpixel's place, 0 to 1; weighs as much as the image.

    Returns
    -------
    ndarray of float64, shape (n,)
        0 background to 1 object. The same everywhere in an image without contrast.
    """
    behind, before = weights.behind, weights.before
    if likely is not None:
        behind, before = behind + 1 - likely, before + likely
    return spread(regions, behind, before)


def spread(regions: Regions, behind: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The values that agree best with both weights and, among like neighbors, with each other.

    Parameters
    ----------
    regions : Regions
    behind, before : ndarray of float64, shape (n,)
        Weights of being background, 0, and object, 1.

    Returns
    -------
    ndarray of float64, shape (n,)
        0 to 1.
    """
    count = len(regions)
    steps = _differences(regions, regions.pairs)
    weights = np.exp(-(steps**2) / (2 * _COLOR**2)) + _LEAST_SMOOTH
    matrix = np.zeros((count, count))
    matrix[regions.pairs[:, 0], regions.pairs[:, 1]] = -weights
    matrix += matrix.T
    matrix[np.diag_indices(count)] = -matrix.sum(1) + behind + before + 1e-9
    return np.clip(np.linalg.solve(matrix, before), 0, 1)


def _differences(regions: Regions, pairs: np.ndarray) -> np.ndarray:
    return np.linalg.norm(regions.colors[pairs[:, 0]] - regions.colors[pairs[:, 1]], axis=1)
