"""Held-out pairs of train images, to calibrate and weigh nodes on: cross-fitted, never trained on.

A pair joins an image of a fold with one outside the fold, embedded by the fold's network. There are
far more pairs than are needed, so they are drawn before anything is measured: time and memory
depend on how many are drawn, not on how many images there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from heml.metrics.artifacts import NodeMetric

#: Groups that pairs are drawn from in one fold; of more, some are chosen.
MOST_GROUPS = 200


@dataclass(frozen=True)
class Pairs:
    """Sampled pairs.

    Parameters
    ----------
    first, second : int arrays (P,)
        Rows of the image index.
    distance : float array (P, nodes)
        Bounded distance of the node; 0 unless both have the node.
    one_absent : bool array (P, nodes)
    both : bool array (P, nodes)
        Both have the node.
    stands_for : float array (P,)
        Of how many pairs it was drawn: rare groups are drawn from more than frequent ones.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    one_absent: np.ndarray
    both: np.ndarray
    stands_for: np.ndarray


def held_out_pairs(
    metrics: list[NodeMetric], labels: np.ndarray, groups: np.ndarray, limit: int, seed: int
) -> Pairs:
    """Pairs of all folds, at most `limit`: half of one label, as far as there are so many.

    Within those of one label and those of two, they are spread evenly over pairs of groups.

    Parameters
    ----------
    metrics : list of NodeMetric
        All nodes of the tree, over the same images.
    labels : array (N,)
    groups : int array (N,)
        Group of each image; all images of a group have one label.
    limit : int
    seed : int

    Returns
    -------
    Pairs
    """
    fold = metrics[0].fold
    folds = len(metrics[0].cross_fitted)
    rng = np.random.default_rng(seed)
    parts = []
    for number in range(folds):
        queries = np.flatnonzero(fold == number)
        references = np.flatnonzero((fold != number) & (fold >= 0))
        first, second, stands_for = draw_pairs(
            queries, references, labels, groups, limit // folds, rng
        )
        parts.append((first, second, *_measure(metrics, number, first, second), stands_for))
    return Pairs(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _measure(
    metrics: list[NodeMetric], fold: int, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = len(first), len(metrics)
    distance = np.zeros(shape, np.float32)
    absent, both = np.zeros(shape, bool), np.zeros(shape, bool)
    for place, metric in enumerate(metrics):
        a, b = (torch.from_numpy(metric.cross_fitted[fold][rows]) for rows in (first, second))
        measured = metric.distance.bounded_rowwise(a, b)
        has = metric.present[first], metric.present[second]
        both[:, place], absent[:, place] = has[0] & has[1], has[0] ^ has[1]
        distance[:, place] = np.where(both[:, place], measured.numpy(), 0)
    return distance, absent, both


def draw_pairs(
    queries: np.ndarray,
    references: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    limit: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of a query and a reference, none twice.

    All of them if they are no more than `limit`. Else half of one label and half of two, the
    scarcer kind giving to the other what it lacks, each spread evenly over pairs of groups.

    Parameters
    ----------
    queries, references : int arrays
        Rows, disjoint.
    labels, groups : arrays (N,)
    limit : int
    rng : numpy Generator

    Returns
    -------
    int arrays (P,), (P,), float array (P,)
        Rows of the two images of each pair, and of how many it was drawn.
    """
    total = len(queries) * len(references)
    if total <= limit:
        return (
            np.repeat(queries, len(references)),
            np.tile(references, len(queries)),
            np.ones(total),
        )
    codes = np.unique(groups[np.concatenate([queries, references])])
    if len(codes) > MOST_GROUPS:
        codes = np.sort(rng.choice(codes, MOST_GROUPS, replace=False))
    asked = [queries[groups[queries] == code] for code in codes]
    known = [references[groups[references] == code] for code in codes]
    label_of = np.array(
        [labels[np.concatenate(both)[0]] for both in zip(asked, known, strict=True)]
    )
    sizes = np.outer([len(rows) for rows in asked], [len(rows) for rows in known])
    same = label_of[:, None] == label_of[None, :]
    half = min(limit // 2, int(sizes[same].sum()))
    different = min(limit - half, int(sizes[~same].sum()))
    counts = np.zeros_like(sizes)
    counts[same] = _shares(sizes[same], limit - different, rng)
    counts[~same] = _shares(sizes[~same], different, rng)
    parts = []
    for i, j in zip(*np.nonzero(counts), strict=True):
        chosen = rng.choice(sizes[i, j], counts[i, j], replace=False)
        first, second = asked[i][chosen // len(known[j])], known[j][chosen % len(known[j])]
        parts.append((first, second, np.full(len(chosen), sizes[i, j] / len(chosen))))
    drawn = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return drawn[0], drawn[1], drawn[2]


def _shares(sizes: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """How many to take of each, as evenly as their sizes allow, `total` in all if there are."""
    counts = np.zeros(len(sizes), np.int64)
    while (left := min(total, int(sizes.sum())) - int(counts.sum())) > 0:
        open_ones = np.flatnonzero(counts < sizes)
        if left < len(open_ones):
            counts[rng.choice(open_ones, left, replace=False)] += 1
        else:
            step = np.minimum(sizes - counts, left // len(open_ones))
            counts[open_ones] += step[open_ones]
    return counts
