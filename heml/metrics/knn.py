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
        Infinite for references that may not vote.
    labels : int array (N,)
        Values 0 to classes - 1.
    classes : int
    k : int
        Capped at the number of references that are at a finite distance.

    Returns
    -------
    float array (Q, classes)
        Rows sum to 1, or to 0 where no reference may vote.

    Raises
    ------
    ValueError
        If there is no reference.
    """
    if distances.shape[1] == 0:
        raise ValueError("kNN needs at least one reference")
    may_vote = np.isfinite(distances)
    voters = np.minimum(k, may_vote.sum(axis=1, keepdims=True))
    k = min(k, distances.shape[1])
    nearest = np.sort(np.partition(distances, k - 1, axis=1)[:, :k], axis=1)
    limit = np.take_along_axis(nearest, np.maximum(voters - 1, 0), axis=1)
    nearer = (distances < limit).astype(float)
    ties = (may_vote & (distances == limit)).astype(float)
    shared = np.maximum(ties.sum(1, keepdims=True), 1)
    weights = nearer + ties * (voters - nearer.sum(1, keepdims=True)) / shared
    return weights @ np.eye(classes)[labels] / np.maximum(voters, 1)
