"""Held-out pairs of train images, to calibrate and weigh nodes on: cross-fitted, never trained on.

A pair joins an image of a fold with one outside the fold, embedded by the fold's network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heml.metrics.artifacts import NodeMetric
from heml.metrics.distances import node_distances


@dataclass(frozen=True)
class Pairs:
    """Sampled pairs.

    Parameters
    ----------
    first, second : int arrays (P,)
        Rows of the image index.
    distance : float array (P, nodes)
        Bounded SNR distance; 0 unless both have the node.
    one_absent : bool array (P, nodes)
    both : bool array (P, nodes)
        Both have the node.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    one_absent: np.ndarray
    both: np.ndarray


def held_out_pairs(metrics: list[NodeMetric], cells: np.ndarray, limit: int, seed: int) -> Pairs:
    """Pairs of all folds, at most `limit`, spread evenly over pairs of cells.

    Parameters
    ----------
    metrics : list of NodeMetric
        All nodes of the tree, over the same images.
    cells : int array (N,)
        Cell of each image.
    limit : int
    seed : int

    Returns
    -------
    Pairs
    """
    fold = metrics[0].fold
    rng = np.random.default_rng(seed)
    parts = []
    folds = len(metrics[0].cross_fitted)
    for number in range(folds):
        queries = np.flatnonzero(fold == number)
        references = np.flatnonzero((fold != number) & (fold >= 0))
        chosen = _choose(cells[queries], cells[references], limit // folds, rng)
        parts.append((queries, references, chosen, _measure(metrics, number, queries, references)))
    return Pairs(
        first=np.concatenate([q[c // len(r)] for q, r, c, _ in parts]),
        second=np.concatenate([r[c % len(r)] for _, r, c, _ in parts]),
        distance=np.concatenate([m[0].reshape(len(m[0]), -1).T[c] for _, _, c, m in parts]),
        one_absent=np.concatenate([m[1].reshape(len(m[1]), -1).T[c] for _, _, c, m in parts]),
        both=np.concatenate([m[2].reshape(len(m[2]), -1).T[c] for _, _, c, m in parts]),
    )


def _measure(
    metrics: list[NodeMetric], fold: int, queries: np.ndarray, references: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    distance, absent, both = [], [], []
    for metric in metrics:
        present = metric.present
        measured = node_distances(
            metric.cross_fitted[fold][queries],
            metric.cross_fitted[fold][references],
            present[queries],
            present[references],
        )
        distance.append(measured.distance.astype(np.float32))
        absent.append(measured.one_absent)
        both.append(present[queries][:, None] & present[references][None, :])
    return np.stack(distance), np.stack(absent), np.stack(both)


def _choose(
    first: np.ndarray, second: np.ndarray, limit: int, rng: np.random.Generator
) -> np.ndarray:
    """Flat positions in the (Q, N) grid: all, or as many of every cell pair as fit."""
    total = len(first) * len(second)
    if total <= limit:
        return np.arange(total)
    low = np.minimum(first[:, None], second[None, :]).ravel()
    high = np.maximum(first[:, None], second[None, :]).ravel()
    kind = np.unique(low * (max(first.max(), second.max()) + 1) + high, return_inverse=True)[1]
    order = rng.permutation(total)
    order = order[np.argsort(kind[order], kind="stable")]
    counts = np.bincount(kind)
    start = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(total) - start[kind[order]]
    # The first pairs of every kind in turn, until the limit is reached.
    return np.sort(order[np.argsort(rank, kind="stable")[:limit]])
