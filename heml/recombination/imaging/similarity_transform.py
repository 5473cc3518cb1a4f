"""Fitting similarity transforms: scale, rotation and shift, without reflection.

Planning compares the poses of many donors with a host's, and compositing brings one donor onto the
host. Both use this fit, so that a plan expects what compositing does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Donors are not scaled up or down beyond this factor.
MAX_SCALE = 2.0
#: Nor rotated by more than this, in radians.
MAX_TURN = 0.35
#: Points whose summed squares about their mean are less than this count as one point, which says
#: nothing of scale and rotation.
LEAST_SPREAD = 1e-9


@dataclass(frozen=True)
class SimilarityTransform:
    """Similarity transforms of the plane, one for each leading index.

    Points are complex numbers, x + iy, so that scaling and rotating is one multiplication.

    Parameters
    ----------
    scale, turn : float arrays (...)
        Within `MAX_SCALE` and `MAX_TURN`.
    source_mean, target_mean : complex arrays (...)
        The transform maps the one to the other.
    """

    scale: np.ndarray
    turn: np.ndarray
    source_mean: np.ndarray
    target_mean: np.ndarray

    def residuals(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Distances from transformed source points to target points, float array (..., P)."""
        return np.abs(self.apply(source) - target)

    def apply(self, source: np.ndarray) -> np.ndarray:
        """Where source points come to lie, complex array (..., P)."""
        factor = (self.scale * np.exp(1j * self.turn))[..., None]
        return factor * (source - self.source_mean[..., None]) + self.target_mean[..., None]

    def matrix(self) -> np.ndarray:
        """The affine matrix of a single transform, float array (2, 3): `target ≈ A @ [x, y, 1]`."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        rotation = self.scale * np.array([[cos, -sin], [sin, cos]])
        source = np.array([self.source_mean.real, self.source_mean.imag])
        target = np.array([self.target_mean.real, self.target_mean.imag])
        return np.column_stack([rotation, target - rotation @ source])


def fit_similarity_transform(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> SimilarityTransform:
    """Weighted least-squares similarity transforms (Umeyama, PAMI 1991), within the limits.

    Parameters
    ----------
    source, target : complex arrays (..., P)
        Points x + iy; any finite value where the weight is 0.
    weights : float array (..., P)
        At least 0; where all are 0 the transform is the identity.

    Returns
    -------
    SimilarityTransform
        A shift where the source is a single point.
    """
    shares = weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-12)
    source_mean, target_mean = (shares * source).sum(axis=-1), (shares * target).sum(axis=-1)
    a, b = source - source_mean[..., None], target - target_mean[..., None]
    spread = (weights * np.abs(a) ** 2).sum(axis=-1)
    fit = (weights * (np.conj(a) * b)).sum(axis=-1) / np.maximum(spread, LEAST_SPREAD)
    fit = np.where(spread > LEAST_SPREAD, fit, 1)
    return SimilarityTransform(
        np.clip(np.abs(fit), 1 / MAX_SCALE, MAX_SCALE),
        np.clip(np.angle(fit), -MAX_TURN, MAX_TURN),
        source_mean,
        target_mean,
    )
