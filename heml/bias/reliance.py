"""Reliance: how well a node's metric tells the label on aligned and on conflicting records."""

from __future__ import annotations

import numpy as np

from heml.metrics.artifacts import NodeMetric
from heml.metrics.distances import node_distances
from heml.metrics.knn import knn_votes

#: Rows of the distance matrix held at a time.
BATCH = 1024


def out_of_fold_votes(metric: NodeMetric, labels: np.ndarray, k: int) -> np.ndarray:
    """kNN votes for the label of every train record, by networks that never saw it.

    The record's fold votes with the records outside it, embedded by the fold's network.

    Parameters
    ----------
    metric : NodeMetric
    labels : int array (N,)
    k : int

    Returns
    -------
    float array (N, labels)
        Rows of other splits are zero.
    """
    classes = int(labels.max()) + 1
    votes = np.zeros((len(labels), classes))
    for fold, embeddings in enumerate(metric.cross_fitted):
        queries = np.flatnonzero(metric.fold == fold)
        references = np.flatnonzero((metric.fold != fold) & (metric.fold >= 0))
        for start in range(0, len(queries), BATCH):
            part = queries[start : start + BATCH]
            measured = node_distances(
                embeddings[part],
                embeddings[references],
                metric.present[part],
                metric.present[references],
            )
            votes[part] = knn_votes(measured.total(), labels[references], classes, k)
    return votes
