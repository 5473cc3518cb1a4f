"""Similarity transforms that bring a donor's segments to where the host's are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from heml.metrics.views import union
from heml.taxonomy import BACKGROUND, Taxonomy

#: How much more a moved leaf's own place counts than that of a kept one.
OWN_WEIGHT = 2.0
#: Donors are not blown up or shrunk beyond this factor.
MAX_SCALE = 2.0
#: Nor turned by more than this, in radians.
MAX_TURN = 0.35


def leaf_points(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centroid (x, y) of a mask and its spread (standard deviations in x and y), in pixels."""
    rows, columns = np.nonzero(mask)
    centre = np.array([columns.mean(), rows.mean()])
    return centre, np.array([columns.std(), rows.std()])


def fit_similarity_transform(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Weighted least-squares similarity transform without reflection (Umeyama, PAMI 1991).

    Parameters
    ----------
    source, target : float arrays (P, 2)
    weights : float array (P,)

    Returns
    -------
    float array (2, 3)
        `target ≈ A[:, :2] @ source + A[:, 2]`; with a single point, a shift.
    """
    weights = weights / weights.sum()
    mean_source, mean_target = weights @ source, weights @ target
    a, b = source - mean_source, target - mean_target
    spread = weights @ (a**2).sum(axis=1)
    scale, turn = 1.0, 0.0
    if spread > 1e-6:
        along = weights @ (a * b).sum(axis=1)
        across = weights @ (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
        scale = float(np.clip(np.hypot(along, across) / spread, 1 / MAX_SCALE, MAX_SCALE))
        turn = float(np.clip(np.arctan2(across, along), -MAX_TURN, MAX_TURN))
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([rotation, mean_target - rotation @ mean_source])


def align_donor(
    taxonomy: Taxonomy,
    nodes: Sequence[str],
    host: Mapping[str, np.ndarray],
    donor: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Transform from donor to host pixels for moving some leaves.

    Anchors are the leaves around the moved ones: the smallest branch above them in which host and
    donor share at least two others, the background aside. Each gives its centroid and the four
    points one standard deviation away from it, so size and place count, outlines do not.

    Parameters
    ----------
    taxonomy : Taxonomy
    nodes : sequence of str
        Leaves that are moved.
    host, donor : mapping of class name to bool array (H, W)

    Returns
    -------
    float array (2, 3)
        Maps donor (x, y) to host (x, y).
    """
    masks = {
        leaf: (union(host, classes), union(donor, classes))
        for leaf, classes in taxonomy.leaves.items()
    }
    shared = [
        leaf
        for leaf, (a, b) in masks.items()
        if a is not None and b is not None and leaf != BACKGROUND
    ]
    anchors: list[str] = []
    for branch in _branches_above(taxonomy, nodes):
        inside = set(taxonomy.leaves_of(branch))
        anchors = [leaf for leaf in shared if leaf in inside and leaf not in nodes]
        if len(anchors) >= 2:
            break
    weights = [(leaf, 1.0) for leaf in anchors]
    weights += [(leaf, OWN_WEIGHT * max(len(anchors), 1)) for leaf in nodes if leaf in shared]
    source, target, importance = [], [], []
    for leaf, weight in weights:
        in_host, in_donor = masks[leaf]
        assert in_host is not None
        assert in_donor is not None
        (to, to_spread), (start, start_spread) = leaf_points(in_host), leaf_points(in_donor)
        for direction in np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]):
            source.append(start + direction * start_spread)
            target.append(to + direction * to_spread)
            importance.append(weight)
    if not source:
        return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return fit_similarity_transform(np.array(source), np.array(target), np.array(importance))


def _branches_above(taxonomy: Taxonomy, nodes: Sequence[str]) -> list[str]:
    """Branches that hold all the nodes, the smallest first."""
    holding = [branch for branch in taxonomy.tree if set(nodes) <= set(taxonomy.leaves_of(branch))]
    return sorted(holding, key=lambda branch: len(taxonomy.leaves_of(branch)))
