"""What a distance is, and which there are.

A node's networks are trained with one distance, and everything that compares its embeddings
afterwards asks the same object: evaluation, kNN votes, thresholds, similarities, explanations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from heml.parts.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

#: What nodes are compared by unless a recipe says otherwise.
DEFAULT_DISTANCE = "snr"


class Distance(ABC):
    """A distance between embeddings.

    `pairwise` and `rowwise` define it. Losses and miners use it as it is; rankings, thresholds and
    similarities use the bounded form, which must rank pairs as the distance does where that is
    symmetric.

    Attributes
    ----------
    name : str
    rank : int
    description : str
        One line for the documentation of recipes.
    symbol : str
        What reports and figures call it.
    """

    name: ClassVar[str]
    rank: ClassVar[int]
    description: ClassVar[str]
    symbol: ClassVar[str]

    def shape(self, embeddings: Tensor) -> Tensor:
        """What a network does with its last layer's output (B, D) before it is compared."""
        return embeddings

    @abstractmethod
    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance of every row of `a` (N, D) to every row of `b` (M, D).

        Returns
        -------
        Tensor, shape (N, M)
            In [0, inf), 0 for equal rows. It may differ between directions.
        """

    @abstractmethod
    def rowwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance of each row of `a` (N, D) to the same row of `b`, shape (N,)."""

    def bounded_pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Symmetric form of `pairwise` in [0, 1]: 0 for equal rows."""
        distance = self.pairwise(a, b)
        return distance / (1 + distance)

    def bounded_rowwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Symmetric form of `rowwise` in [0, 1]."""
        distance = self.rowwise(a, b)
        return distance / (1 + distance)


DISTANCES: Registry[Distance] = Registry("distance", "heml.metrics.distances", "heml.distances")
