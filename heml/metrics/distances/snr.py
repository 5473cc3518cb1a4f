"""Signal-to-noise ratio distance (Yuan et al., "Signal-to-Noise Ratio", CVPR 2019).

`d(a, b) = var(a - b) / var(a)` over embedding dimensions: 0 for equal embeddings, unbounded, not
symmetric. With r = sd(b) / sd(a) and the correlation rho it is `1 + r**2 - 2 * rho * r`, so all
pairs need one matrix product of centered embeddings. pytorch-metric-learning's class builds the
(N, M, D) difference, and normalizes embeddings, which discards the signal's variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from heml.metrics.distance import DISTANCES, Distance

if TYPE_CHECKING:
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


class SNRDistance(Distance):
    """`var(a - b) / var(a)`; its bounded form is `var(a - b) / (sd(a) + sd(b))**2`."""

    name: ClassVar[str] = "snr"
    rank: ClassVar[int] = 0
    description: ClassVar[str] = "variance of the difference relative to the signal's"
    symbol: ClassVar[str] = "d_SNR"

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """SNR distance of every row of `a` (the signal) to every row of `b`.

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        var_a, var_b, covariance = _moments(a, b)
        return (var_a + var_b - 2 * covariance).clamp_min(0) / var_a.clamp_min(EPSILON)

    def rowwise(self, a: Tensor, b: Tensor) -> Tensor:
        """SNR distance row by row, `a` being the signal."""
        signal = a.var(dim=1, unbiased=False).clamp_min(EPSILON)
        return (a - b).var(dim=1, unbiased=False) / signal

    def bounded_pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """0 for equal embeddings, 1 for opposite ones.

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

    def bounded_rowwise(self, a: Tensor, b: Tensor) -> Tensor:
        """The bounded form row by row."""
        first = a.var(dim=1, unbiased=False).clamp_min(EPSILON).sqrt()
        second = b.var(dim=1, unbiased=False).clamp_min(EPSILON).sqrt()
        difference = (a - b).var(dim=1, unbiased=False)
        return (difference / (first + second).square()).clamp(0, 1)


DISTANCES.register(SNRDistance())
