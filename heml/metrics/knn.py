"""k-nearest-neighbor votes on precomputed distances."""

from __future__ import annotations

import numpy as np


def knn_votes(distances: np.ndarray, labels: np.ndarray, classes: int, k: int) -> np.ndarray:
    """Share of the k nearest references that have each label.

    References at exactly the distance of the k-th share its place, so that ties (all images
    without a segment, say) vote by their frequencies and not by their order.

    Parameters
    ----------
    distances : float array (Q, N)
    labels : int array (N,)
        Values 0 to classes - 1.
    classes : int
    k : int
        Capped at N.

    Returns
    -------
    float array (Q, classes)
        Rows sum to 1.

    Raises
    ------
    ValueError
        If there is no reference.
    """
    if distances.shape[1] == 0:
        raise ValueError("kNN needs at least one reference")
    k = min(k, distances.shape[1])
    limit = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
    nearer = (distances < limit).astype(float)
    ties = (distances == limit).astype(float)
    weights = nearer + ties * (k - nearer.sum(1, keepdims=True)) / ties.sum(1, keepdims=True)
    return weights @ np.eye(classes)[labels] / k
