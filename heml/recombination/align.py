"""Similarity transforms that bring a donor's segments to where the host's are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heml.recombination.picture import Picture
from heml.taxonomy import BACKGROUND, Taxonomy

#: How much more a moved leaf's own place counts than that of a kept one.
OWN_WEIGHT = 2.0
#: Donors are not blown up or shrunk beyond this factor.
MAX_SCALE = 2.0
#: Nor turned by more than this, in radians.
MAX_TURN = 0.35
#: A leaf is known by its centroid and the points one standard deviation away from it.
_DIRECTIONS = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])


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
    taxonomy: Taxonomy, nodes: Sequence[str], host: Picture, donor: Picture
) -> np.ndarray:
    """Transform from donor to host pixels for moving some leaves.

    Anchors are the leaves around the moved ones: the smallest branch above them in which host and
    donor share at least two others, the background aside. Each gives its centroid and the four
    points one standard deviation away from it, so size and place count, outlines do not. Beside
    anchors a moved leaf counts with its centroid alone: an open mouth is larger than a closed one,
    and is not to be shrunk to it.

    Parameters
    ----------
    taxonomy : Taxonomy
    nodes : sequence of str
        Leaves that are moved.
    host, donor : Picture

    Returns
    -------
    float array (2, 3)
        Maps donor (x, y) to host (x, y).
    """
    places = {
        leaf: (there, here)
        for leaf, classes in taxonomy.leaves.items()
        if leaf != BACKGROUND
        and (there := donor.place(classes)) is not None
        and (here := host.place(classes)) is not None
    }
    anchors: list[str] = []
    for branch in _branches_above(taxonomy, nodes):
        inside = set(taxonomy.leaves_of(branch))
        anchors = [leaf for leaf in places if leaf in inside and leaf not in nodes]
        if len(anchors) >= 2:
            break
    own = [leaf for leaf in nodes if leaf in places]
    if not (anchors or own):
        return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    weight = OWN_WEIGHT * max(len(anchors), 1)
    sized = [*anchors, *own] if len(anchors) < 2 else anchors
    source, target, weights = [], [], []
    for leaf in [*anchors, *own]:
        start, end = places[leaf]
        points = _DIRECTIONS if leaf in sized else _DIRECTIONS[:1]
        source.append(start.centre + points * start.spread)
        target.append(end.centre + points * end.spread)
        share = (1.0 if leaf in anchors else weight) / len(points)
        weights.append(np.full(len(points), share))
    return fit_similarity_transform(
        np.concatenate(source), np.concatenate(target), np.concatenate(weights)
    )


def _branches_above(taxonomy: Taxonomy, nodes: Sequence[str]) -> list[str]:
    """Branches that hold all the nodes, the smallest first."""
    holding = [branch for branch in taxonomy.tree if set(nodes) <= set(taxonomy.leaves_of(branch))]
    return sorted(holding, key=lambda branch: len(taxonomy.leaves_of(branch)))
