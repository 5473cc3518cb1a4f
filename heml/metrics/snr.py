"""Signal-to-noise ratio distance (Yuan et al., "Signal-to-Noise Ratio", CVPR 2019).

`d(a, b) = var(a - b) / var(a)` over embedding dimensions: 0 for equal embeddings, unbounded, not
symmetric. With r = sd(b) / sd(a) and the correlation rho it is `1 + r**2 - 2 * rho * r`, so all
pairs need one matrix product of centered embeddings.
"""

from __future__ import annotations

from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor

#: Smallest variance that is divided by: a constant embedding has no signal, its distances are huge
#: but finite.
EPSILON = 1e-8


def _moments(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"expected (N, D) and (M, D), got {tuple(a.shape)} and {tuple(b.shape)}")
    a = a - a.mean(dim=1, keepdim=True)
    b = b - b.mean(dim=1, keepdim=True)
    dimensions = a.shape[1]
    return (
        a.square().mean(dim=1)[:, None],
        b.square().mean(dim=1)[None, :],
        a @ b.T / dimensions,
    )


def snr_distance(a: Tensor, b: Tensor) -> Tensor:
    """SNR distance of every row of `a` (the signal) to every row of `b`.

    Parameters
    ----------
    a : Tensor, shape (N, D)
    b : Tensor, shape (M, D)

    Returns
    -------
    Tensor, shape (N, M)
        In [0, inf).

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    var_a, var_b, covariance = _moments(a, b)
    return (var_a + var_b - 2 * covariance).clamp_min(0) / var_a.clamp_min(EPSILON)


def bounded_snr_distance(a: Tensor, b: Tensor) -> Tensor:
    """Symmetric bounded form `var(a - b) / (sd(a) + sd(b))**2`.

    Parameters
    ----------
    a : Tensor, shape (N, D)
    b : Tensor, shape (M, D)

    Returns
    -------
    Tensor, shape (N, M)
        In [0, 1]: 0 equal, 1 opposite.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    var_a, var_b, covariance = _moments(a, b)
    # The root's gradient is infinite at zero.
    scale = var_a.clamp_min(EPSILON).sqrt() + var_b.clamp_min(EPSILON).sqrt()
    difference = (var_a + var_b - 2 * covariance).clamp_min(0)
    return (difference / scale.square()).clamp(0, 1)


class SNRDistance(BaseDistance):
    """`snr_distance` for every loss and miner of pytorch-metric-learning.

    The library's class of the same name builds the (N, M, D) difference; this one is a matrix
    product, and it never normalizes embeddings, which would discard the signal's variance.
    """

    def __init__(self) -> None:
        super().__init__(normalize_embeddings=False, is_inverted=False)

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor | None) -> Tensor:
        """All pairs, shape (N, M)."""
        return snr_distance(query_emb, query_emb if ref_emb is None else ref_emb)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Row by row, shape (N,)."""
        signal = query_emb.var(dim=1, unbiased=False).clamp_min(EPSILON)
        return (query_emb - ref_emb).var(dim=1, unbiased=False) / signal


class BoundedSNRDistance(SNRDistance):
    """`bounded_snr_distance` for pytorch-metric-learning's evaluation."""

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor | None) -> Tensor:
        """All pairs, shape (N, M)."""
        return bounded_snr_distance(query_emb, query_emb if ref_emb is None else ref_emb)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Row by row, shape (N,)."""
        a = query_emb.var(dim=1, unbiased=False).clamp_min(EPSILON).sqrt()
        b = ref_emb.var(dim=1, unbiased=False).clamp_min(EPSILON).sqrt()
        difference = (query_emb - ref_emb).var(dim=1, unbiased=False)
        return (difference / (a + b).square()).clamp(0, 1)


class BoundedSNRSimilarity(BaseDistance):
    """`1 - 2 * bounded_snr_distance`, in [-1, 1], for losses that are written for a similarity.

    Of embeddings with equal variances it is their correlation.
    """

    def __init__(self) -> None:
        super().__init__(normalize_embeddings=False, is_inverted=True)
        self._distance = BoundedSNRDistance()

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor | None) -> Tensor:
        """All pairs, shape (N, M)."""
        return 1 - 2 * self._distance.compute_mat(query_emb, ref_emb)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Row by row, shape (N,)."""
        return 1 - 2 * self._distance.pairwise_distance(query_emb, ref_emb)
