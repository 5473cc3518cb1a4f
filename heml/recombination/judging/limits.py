"""Limits of the gates: what the dataset's real images satisfy themselves.

Every limit is set on real train images (or on identity edits, which change nothing), and the
share of real images that it would refuse is kept with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heml.metrics.artifacts import NodeMetric
from heml.metrics.knn import knn_votes
from heml.metrics.node_distances import node_distances
from heml.recombination.imaging.segmented_image import SegmentedImage
from heml.tree.metric_tree import Embedded, MetricTree

#: Share of real records of a group whose votes may fall below the limit, where the limit is not a
#: majority.
REFUSED_VOTES = 0.05
#: Quantile of a group's held-out real images' distances that the distribution gate allows.
DISTRIBUTION_QUANTILE = 0.99
#: Hashes with at most this share of differing bits are called near-duplicates (10 of 64, as is
#: customary), or fewer where different real images are as near.
NEAR_HASH = 10 / 64
#: Overlap at which a segment counts as found (Everingham et al., IJCV 2010). Segments that the
#: segmenter itself found in real images overlap fully: as a limit that would be too strict.
FOUND_OVERLAP = 0.5
#: Real images whose votes are counted.
VOTES = 600


@dataclass(frozen=True)
class Limit:
    """A gate's limit, and the share of real images beyond it.

    Parameters
    ----------
    value : float
    refused : float
        Share of the real images behind it that it would refuse; NaN if there were none.
    n : int
        Real images behind it.
    """

    value: float
    refused: float
    n: int

    def describe(self) -> dict[str, float]:
        """For the stage's summary."""
        return {"limit": self.value, "refused_of_real": self.refused, "n": self.n}


def root_distance(distances: np.ndarray, k: int) -> np.ndarray:
    """Mean distance to the k nearest references, float array (Q,)."""
    k = min(k, distances.shape[1])
    return np.partition(distances, k - 1, axis=1)[:, :k].mean(axis=1)


def distribution_limit(root: NodeMetric, groups: np.ndarray, k: int) -> Limit:
    """Distance at the root from a held-out real image to the others.

    Parameters
    ----------
    root : NodeMetric
    groups : int array (N,)
        Group of each image. A scarce group lies far from the others by nature, and its like is what
        recombination makes: the limit is that of the farthest group.
    k : int
        Neighbors whose distance counts.

    Returns
    -------
    Limit
        The largest of the groups' quantiles over the train split, cross-fitted.
    """
    distances = np.full(len(groups), np.nan)
    for fold, embeddings in enumerate(root.cross_fitted):
        queries = (root.fold == fold) & root.present
        references = (root.fold != fold) & (root.fold >= 0) & root.present
        if queries.any() and references.any():
            measured = node_distances(
                root.distance,
                embeddings[queries],
                embeddings[references],
                root.present[queries],
                root.present[references],
            )
            distances[queries] = root_distance(measured.distance, k)
    known = ~np.isnan(distances)
    limits = [
        np.quantile(distances[known & (groups == group)], DISTRIBUTION_QUANTILE)
        for group in np.unique(groups[known])
    ]
    limit = float(max(limits, default=1.0))
    beyond = float((distances[known] > limit).mean()) if known.any() else np.nan
    return Limit(max(limit, 1e-6), beyond, int(known.sum()))


def vote_limit(own: np.ndarray, groups: np.ndarray, values: int) -> Limit:
    """The least share of the vote for the intended value.

    A fair majority is asked for, one over the number of values, unless more than `REFUSED_VOTES`
    of the real records, groups counting equally, fall short of it themselves.

    Parameters
    ----------
    own : float array (N,)
        Held-out votes of real records for their own value.
    groups : int array (N,)
    values : int
        Number of values.
    """
    if not len(own):
        return Limit(1 / values, np.nan, 0)
    _, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1 / counts[codes]
    order = np.argsort(own, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    quantile = float(own[order][np.searchsorted(reached, REFUSED_VOTES)])
    limit = min(1 / values, quantile)
    return Limit(limit, float((own < limit).mean()), len(own))


def held_out_votes(
    tree: MetricTree, metrics: Sequence[NodeMetric], values: np.ndarray, nodes: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Votes of train records for their own value, by networks that never saw them.

    Parameters
    ----------
    metrics : sequence of NodeMetric
        Of all nodes of the tree, over one list of images.
    values : array (N,)
        Label or attribute value of each image.
    nodes : sequence of str, optional
        Vote by these nodes, averaged; by the debiased similarity if None.

    Returns
    -------
    rows : int array (Q,)
        Images whose votes were counted.
    votes : float array (Q,)
    """
    names, codes = np.unique(values.astype(str), return_inverse=True)
    fold = metrics[0].fold
    rows, votes = [], []
    folds = np.unique(fold[fold >= 0])
    for number in folds:
        queries = np.flatnonzero(fold == number)[: max(VOTES // len(folds), 1)]
        references = np.flatnonzero((fold >= 0) & (fold != number))
        if not len(queries) or not len(references):
            continue
        everything = Embedded(
            {m.node: m.cross_fitted[number] if m.trained else m.embeddings for m in metrics},
            {m.node: m.present for m in metrics},
        )
        queried, known = everything.rows(queries), everything.rows(references)
        distances = (
            [tree.total_distances(queried, known, "debiased")]
            if nodes is None
            else [tree.node_distances(n, queried, known).total() for n in nodes]
        )
        shares = np.mean(
            [knn_votes(d, codes[references], len(names), tree.neighbors) for d in distances],
            axis=0,
        )
        rows.append(queries)
        votes.append(shares[np.arange(len(queries)), codes[queries]])
    if not rows:
        return np.zeros(0, int), np.zeros(0)
    return np.concatenate(rows), np.concatenate(votes)


def duplicate_limit(hashes: Sequence[np.ndarray]) -> Limit:
    """Share of differing hash bits at or below which two images are near-duplicates.

    Parameters
    ----------
    hashes : sequence of bool arrays
        Perceptual hashes of real images.
    """
    first, second = np.triu_indices(len(hashes), k=1)
    if not len(first):
        return Limit(0.0, np.nan, len(hashes))
    bits = np.stack(hashes)
    apart = (bits[first] != bits[second]).mean(axis=1)
    limit = min(float(apart[apart > 0].min(initial=1.0)) / 2, NEAR_HASH)
    return Limit(limit, float((apart <= limit).mean()), len(hashes))


def overlap(
    found: SegmentedImage | dict[str, np.ndarray], wanted: SegmentedImage, classes: Sequence[str]
) -> float:
    """Intersection over union of some classes' pixels; 1 where neither has any."""
    masks = found.masks if isinstance(found, SegmentedImage) else found
    empty = np.zeros(wanted.size, bool)
    a, b = (
        np.logical_or.reduce([m[c] for c in classes if c in m] or [empty])
        for m in (masks, wanted.masks)
    )
    either = int((a | b).sum())
    return float((a & b).sum() / either) if either else 1.0


def presence_limit(overlaps: Sequence[float]) -> Limit:
    """Least overlap of a segment that is found again.

    `FOUND_OVERLAP`, or less where real images and their own segments overlap less.
    """
    if not len(overlaps):
        return Limit(0.0, np.nan, 0)
    limit = min(float(np.quantile(overlaps, REFUSED_VOTES)), FOUND_OVERLAP)
    return Limit(limit, float((np.array(overlaps) < limit).mean()), len(overlaps))
