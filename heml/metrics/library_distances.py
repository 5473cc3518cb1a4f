"""Registered distances in the form that pytorch-metric-learning's losses and evaluation take."""

from __future__ import annotations

from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor

from heml.metrics.distance import Distance


class LibraryDistance(BaseDistance):
    """A distance as it is, for losses and miners. The library does not normalize embeddings.

    Parameters
    ----------
    distance : Distance
    """

    def __init__(self, distance: Distance, is_inverted: bool = False) -> None:
        super().__init__(normalize_embeddings=False, is_inverted=is_inverted)
        self._distance = distance

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor | None) -> Tensor:
        """All pairs, shape (N, M)."""
        return self._distance.pairwise(query_emb, query_emb if ref_emb is None else ref_emb)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Row by row, shape (N,)."""
        return self._distance.rowwise(query_emb, ref_emb)


class BoundedLibraryDistance(LibraryDistance):
    """The bounded form of a distance, for evaluation."""

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor | None) -> Tensor:
        """All pairs, shape (N, M), in [0, 1]."""
        other = query_emb if ref_emb is None else ref_emb
        return self._distance.bounded_pairwise(query_emb, other)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Row by row, shape (N,), in [0, 1]."""
        return self._distance.bounded_rowwise(query_emb, ref_emb)


class LibrarySimilarity(LibraryDistance):
    """`1 - 2 * bounded distance` in [-1, 1], for losses that are written for a similarity.

    For the cosine distance it is the cosine; for the SNR distance of embeddings with equal
    variances, their correlation. The constants of such losses keep their papers' meaning.
    """

    def __init__(self, distance: Distance) -> None:
        super().__init__(distance, is_inverted=True)

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor | None) -> Tensor:
        """All pairs, shape (N, M)."""
        other = query_emb if ref_emb is None else ref_emb
        return 1 - 2 * self._distance.bounded_pairwise(query_emb, other)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Row by row, shape (N,)."""
        return 1 - 2 * self._distance.bounded_rowwise(query_emb, ref_emb)
