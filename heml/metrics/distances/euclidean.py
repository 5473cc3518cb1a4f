"""Euclidean distance, as root mean square over dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from heml.metrics.distance import DISTANCES, Distance

if TYPE_CHECKING:
    from torch import Tensor


class EuclideanDistance(Distance):
    """`|a - b|`; its bounded form is `d / (1 + d)`."""

    name: ClassVar[str] = "euclidean"
    rank: ClassVar[int] = 2
    description: ClassVar[str] = "root mean square difference of embeddings"
    symbol: ClassVar[str] = "d_L2"

    def shape(self, embeddings: Tensor) -> Tensor:
        """Divided by the root of the dimensions: distances do not grow with their number."""
        return embeddings / embeddings.shape[1] ** 0.5

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Euclidean distance of all pairs."""
        import torch

        # By differences, not by products: equal rows have distance 0.
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")

    def rowwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Euclidean distance row by row."""
        return (a - b).norm(dim=1)


DISTANCES.register(EuclideanDistance())
