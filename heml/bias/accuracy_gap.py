"""Accuracy gap: how well a metric predicts the label of aligned and of conflicting records."""

from __future__ import annotations

import numpy as np

from heml.metrics.artifacts import NodeMetric
from heml.metrics.knn import knn_votes
from heml.metrics.node_distances import node_distances

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
    for fold in range(len(metric.cross_fitted)):
        rows = np.flatnonzero(metric.fold == fold)
        votes[rows] = votes_by_fold(metric, fold, rows, labels, classes, k)
    return votes


def votes_by_fold(
    metric: NodeMetric, fold: int, rows: np.ndarray, labels: np.ndarray, count: int, k: int
) -> np.ndarray:
    """kNN votes for the label of some images by a fold's network and the records outside the fold.

    Parameters
    ----------
    metric : NodeMetric
    fold : int
    rows : int array (M,)
        Images that are voted on.
    labels : int array (N,)
    count : int
        Label values L.
    k : int

    Returns
    -------
    float array (M, L)
    """
    embeddings = metric.cross_fitted[fold]
    references = np.flatnonzero((metric.fold != fold) & (metric.fold >= 0))
    votes = np.zeros((len(rows), count))
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        measured = node_distances(
            metric.distance,
            embeddings[part],
            embeddings[references],
            metric.present[part],
            metric.present[references],
        )
        own = knn_votes(measured.total(), labels[references], count, k)
        votes[start : start + BATCH] = own
    return votes


class AccuracyGap:
    """Label accuracy on aligned and on conflicting records of one attribute, for any node.

    The gap between them is taken within labels and averaged over labels with the weights of Mantel
    and Haenszel (risk difference, Greenland & Robins, Biometrics 41, 1985): a node that always
    guesses the frequent label is right on most aligned records and loses nothing by a conflict.

    Parameters
    ----------
    aligned : bool array (N,)
    labels : int array (N,)
    draws : int
        For intervals and tests.
    seed : int
    """

    def __init__(self, aligned: np.ndarray, labels: np.ndarray, draws: int, seed: int) -> None:
        self._aligned, self._labels = aligned, labels
        self._draws, self._seed = draws, seed
        self._names, self._codes = np.unique(labels, return_inverse=True)
        self._n = np.stack([self._count(aligned), self._count(~aligned)])
        total = np.maximum(self._n.sum(axis=0), 1)
        self._weights = self._n.prod(axis=0) / total
        #: Whether some label has both kinds of records.
        self.measurable = bool(self._weights.sum() > 0)

    def _count(self, chosen: np.ndarray) -> np.ndarray:
        return np.bincount(self._codes[chosen], minlength=len(self._names))

    def gap(self, correct: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """The gap in [-1, 1], its draws from Jeffreys' posterior, and its null draws.

        Resampled counts would be certain of 0 of 12; the posterior is not. The null shuffles who
        is aligned within each label.

        Parameters
        ----------
        correct : bool array (N,)
        """
        rng = np.random.default_rng(self._seed)
        hits = np.stack(
            [self._count(correct & self._aligned), self._count(correct & ~self._aligned)]
        )
        n, right = self._n, hits.sum(axis=0)
        shape = (self._draws, *n.shape)
        drawn = rng.beta(hits + 0.5, n - hits + 0.5, shape)
        shuffled = rng.hypergeometric(right, n.sum(axis=0) - right, n[0], (self._draws, n.shape[1]))
        null = np.stack([shuffled, right - shuffled], axis=1)
        least = np.maximum(n, 1)
        return float(self._mean(hits / least)), self._mean(drawn), self._mean(null / least)

    def _mean(self, accuracies: np.ndarray) -> np.ndarray:
        lost = accuracies[..., 0, :] - accuracies[..., 1, :]
        return (lost * self._weights).sum(axis=-1) / self._weights.sum()
