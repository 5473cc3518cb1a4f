"""Cosine distance: one minus the cosine of the angle between embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from heml.metrics.distance import DISTANCES, Distance

if TYPE_CHECKING:
    from torch import Tensor

_EPSILON = 1e-12


def _unit(embeddings: Tensor) -> Tensor:
    return embeddings / embeddings.norm(dim=1, keepdim=True).clamp_min(_EPSILON)


class CosineDistance(Distance):
    """`1 - cos(a, b)` in [0, 2]; its bounded form is half of it."""

    name: ClassVar[str] = "cosine"
    rank: ClassVar[int] = 1
    description: ClassVar[str] = "one minus the cosine of the angle between embeddings"
    symbol: ClassVar[str] = "d_cos"

    def shape(self, embeddings: Tensor) -> Tensor:
        """Embeddings of norm 1."""
        return _unit(embeddings)

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Cosine distance of all pairs; embeddings of norm 0 are equal to each other."""
        first, second = _unit(a), _unit(b)
        squares = first.square().sum(dim=1)[:, None] + second.square().sum(dim=1)[None, :]
        return (squares / 2 - first @ second.T).clamp(0, 2)

    def rowwise(self, a: Tensor, b: Tensor) -> Tensor:
        """Cosine distance row by row; exactly 0 for equal rows, unlike 1 - a·b."""
        return (_unit(a) - _unit(b)).square().sum(dim=1) / 2

    def bounded_pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """0 for one direction, 1 for opposite ones."""
        return self.pairwise(a, b) / 2

    def bounded_rowwise(self, a: Tensor, b: Tensor) -> Tensor:
        """The bounded form row by row."""
        return (self.rowwise(a, b) / 2).clamp(0, 1)


DISTANCES.register(CosineDistance())
