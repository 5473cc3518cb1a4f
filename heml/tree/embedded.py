"""Images as a metric tree sees them: an embedding for each node, and whether the node is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from heml.metrics.network_training import embed
from heml.metrics.node_network import NodeNetwork
from heml.metrics.views import node_view, union


@dataclass(frozen=True)
class Embedded:
    """Images as the tree sees them.

    Parameters
    ----------
    vectors : mapping of node to float32 array (B, D)
    present : mapping of node to bool array (B,)
    """

    vectors: Mapping[str, np.ndarray]
    present: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.present.values())))

    def rows(self, rows: np.ndarray | Sequence[int]) -> Embedded:
        """A choice of images, by their numbers."""
        return Embedded(
            {node: vectors[rows] for node, vectors in self.vectors.items()},
            {node: present[rows] for node, present in self.present.items()},
        )


def embed_node(
    images: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]],
    classes: Sequence[str],
    side: int,
    network: NodeNetwork | None,
    dimensions: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Embeds images at one node.

    Parameters
    ----------
    images : sequence of (image, segments)
        uint8 array (H, W, 3) and class name to bool array (H, W).
    classes : sequence of str
        Semantic classes of the node.
    side : int
        Of the node's views in pixels.
    network : NodeNetwork, optional
        None: the node is untrained.
    dimensions : int
        Of an untrained node's vectors, which are 0.

    Returns
    -------
    vectors : float32 array (B, D)
        0 where the node is absent.
    present : bool array (B,)
    """
    views = np.zeros((len(images), 4, side, side), np.uint8)
    for row, (image, segments) in enumerate(images):
        views[row] = node_view(image, union(segments, classes), side)
    present = np.asarray(views[:, 3].any(axis=(1, 2)))
    if network is None or not len(images):
        return np.zeros((len(images), dimensions), np.float32), present
    vectors = embed(network, views)
    vectors[~present] = 0
    return vectors, present
