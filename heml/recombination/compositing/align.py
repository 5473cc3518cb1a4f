"""The transform that brings a donor's segments to where the host's are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from heml.recombination.imaging.segmented_image import Place, SegmentedImage
from heml.recombination.imaging.similarity_transform import fit_similarity_transform
from heml.taxonomy import Taxonomy

#: Weight of a moved leaf's own points, against 1 of the leaves around it.
OWN_WEIGHT = 3.0
#: A leaf is represented by its centroid and the points one standard deviation away from it.
_DIRECTIONS = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])


def align_donor(
    taxonomy: Taxonomy, nodes: Sequence[str], host: SegmentedImage, donor: SegmentedImage
) -> np.ndarray:
    """Transform from donor to host pixels for moving some leaves.

    Anchors are the leaves around the moved ones: the smallest branch above them in which host and
    donor share at least two others, the background aside. Each gives its centroid and the four
    points one standard deviation away from it, so size and place count, outlines do not. They
    alone decide on size and turn: an open mouth is larger than a closed one, and is not to be
    shrunk to it. The moved leaves' own places then shift the result, the more the smaller they are
    beside the anchors: the centroid of hair tells its length, that of a mouth where it is.

    Parameters
    ----------
    taxonomy : Taxonomy
    nodes : sequence of str
        Leaves that are moved.
    host, donor : SegmentedImage

    Returns
    -------
    float array (2, 3)
        Maps donor (x, y) to host (x, y).
    """
    places = {
        leaf: (there, here)
        for leaf, classes in taxonomy.leaves.items()
        if leaf != taxonomy.background
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
    if len(anchors) < 2:
        shares = np.repeat([1.0] * len(anchors) + [OWN_WEIGHT] * len(own), len(_DIRECTIONS))
        return _fitted(*_points(places, [*anchors, *own]), shares)
    source, target = _points(places, anchors)
    matrix = _fitted(source, target, np.ones(len(source)))
    extent = target.std(axis=0).mean()
    for leaf in own:
        start, end = places[leaf]
        ratio = extent / max(float(end.spread.mean()), 1e-6)
        share = float(np.clip(ratio - 1, 0, 1)) * OWN_WEIGHT / (1 + OWN_WEIGHT) / len(own)
        matrix[:, 2] += share * (end.center - matrix @ [*start.center, 1.0])
    return matrix


def _fitted(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Matrix (2, 3) that brings points (P, 2) onto others."""
    points = (source @ [1, 1j], target @ [1, 1j])
    return fit_similarity_transform(*points, weights).matrix()


def _points(
    places: Mapping[str, tuple[Place, Place]], leaves: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Points of leaves in the donor and in the host, float arrays (P, 2)."""
    pairs = [places[leaf] for leaf in leaves]
    source = np.concatenate([start.center + _DIRECTIONS * start.spread for start, _ in pairs])
    target = np.concatenate([end.center + _DIRECTIONS * end.spread for _, end in pairs])
    return source, target


def _branches_above(taxonomy: Taxonomy, nodes: Sequence[str]) -> list[str]:
    """Branches that hold all the nodes, the smallest first."""
    holding = [branch for branch in taxonomy.tree if set(nodes) <= set(taxonomy.leaves_of(branch))]
    return sorted(holding, key=lambda branch: len(taxonomy.leaves_of(branch)))
