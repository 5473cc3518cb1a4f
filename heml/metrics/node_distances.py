"""Distances of a node between images, with absence as a state of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from heml.metrics.distance import Distance


@dataclass(frozen=True)
class NodeDistances:
    """Distances of every query to every reference at one node.

    Parameters
    ----------
    distance : float array (Q, N)
        Bounded distance in [0, 1] where both have the node, 0 elsewhere.
    one_absent : bool array (Q, N)
        Exactly one of the two lacks the node. Where both lack it, `distance` is 0 and this is
        False: they do not differ there.
    """

    distance: np.ndarray
    one_absent: np.ndarray

    def total(self, absence: float = 1.0) -> np.ndarray:
        """One number per pair, with `absence` for pairs of which one lacks the node."""
        return np.where(self.one_absent, absence, self.distance)


def node_distances(
    distance: Distance | None,
    queries: np.ndarray,
    references: np.ndarray,
    queries_present: np.ndarray,
    references_present: np.ndarray,
) -> NodeDistances:
    """Distances of all pairs.

    Parameters
    ----------
    distance : Distance, or None
        What the node's network was trained with. None: it is untrained, and only presence counts.
    queries : float array (Q, D)
    references : float array (N, D)
    queries_present, references_present : bool arrays (Q,), (N,)
    """
    both = queries_present[:, None] & references_present[None, :]
    either = queries_present[:, None] ^ references_present[None, :]
    if distance is None:
        return NodeDistances(np.zeros(both.shape, np.float32), either)
    measured = distance.bounded_pairwise(
        torch.from_numpy(np.ascontiguousarray(queries)),
        torch.from_numpy(np.ascontiguousarray(references)),
    ).numpy()
    return NodeDistances(np.where(both, measured, 0.0), either)
