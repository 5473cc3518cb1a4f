"""Clusters of points: how many there are, which point is in which, and the most typical points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

#: Points that a fit and a silhouette look at; more change neither.
MOST_FITTED, MOST_JUDGED = 20_000, 1_500
#: Fewer clusters are preferred to a mean silhouette that is higher by less than this.
TOLERANCE = 0.05
#: A smaller share of the points is an outlier, not a cluster.
SMALLEST = 0.02


@dataclass(frozen=True)
class Clusters:
    """A partition of points.

    Parameters
    ----------
    centers : float array (k, D)
        Largest cluster first.
    silhouette : float
        Mean over held-out points, in [-1, 1].
    """

    centers: np.ndarray
    silhouette: float

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Distances to the centers, float array (N, k)."""
        return np.linalg.norm(points[:, None] - self.centers[None], axis=-1)

    def assign(self, points: np.ndarray) -> np.ndarray:
        """Nearest center of each point, int array (N,)."""
        return self.distances(points).argmin(axis=1)


def find_clusters(points: np.ndarray, fold: np.ndarray, most: int, seed: int) -> Clusters | None:
    """k-means clusters, their number chosen by the silhouette of held-out points.

    For each number from 2 on, centers are fitted without a fold and judged by the mean silhouette
    (Rousseeuw, J. Comput. Appl. Math. 20, 1987) of the fold's points. Chosen is the smallest number
    within `TOLERANCE` of the best. Numbers that leave a cluster of less than `SMALLEST` of the
    points are passed over.

    Parameters
    ----------
    points : float array (N, D)
    fold : int array (N,)
    most : int
        Largest number of clusters tried.
    seed : int

    Returns
    -------
    Clusters or None
        None if no number leaves clusters: too few points, or too few different ones.
    """
    found: list[Clusters] = []
    for k in range(2, most + 1):
        judged = [_judge(points[fold != f], points[fold == f], k, seed) for f in np.unique(fold)]
        known = [value for value in judged if value is not None]
        centers = _fit(points, k, seed)
        if centers is None or not known:
            break
        sizes = np.bincount(Clusters(centers, 0).assign(points), minlength=k)
        if sizes.min() >= max(SMALLEST * len(points), 2):
            order = np.lexsort((centers[:, 0], -sizes))
            found.append(Clusters(centers[order], float(np.mean(known))))
    best = max((clusters.silhouette for clusters in found), default=0.0)
    return next((c for c in found if c.silhouette >= best - TOLERANCE), None)


def _fit(points: np.ndarray, k: int, seed: int) -> np.ndarray | None:
    if len(points) > MOST_FITTED:
        rng = np.random.default_rng(seed)
        points = points[np.sort(rng.choice(len(points), MOST_FITTED, replace=False))]
    if len(np.unique(points, axis=0)) < 2 * k:
        return None
    fitted = KMeans(k, n_init=5, random_state=seed).fit(points.astype(float))
    return np.asarray(fitted.cluster_centers_)


def _judge(fitted: np.ndarray, held_out: np.ndarray, k: int, seed: int) -> float | None:
    centers = _fit(fitted, k, seed)
    if centers is None:
        return None
    labels = Clusters(centers, 0).assign(held_out)
    if not 2 <= len(np.unique(labels)) < len(labels):
        return None
    size = min(MOST_JUDGED, len(held_out))
    try:
        return float(silhouette_score(held_out, labels, sample_size=size, random_state=seed))
    except ValueError:  # the sample holds one cluster only
        return None
