"""Joining the nodes' distances: calibration, and additive similarities with learned weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import roc_curve


def equal_error_threshold(distances: np.ndarray, same: np.ndarray) -> float:
    """Distance at which as many same-label pairs are above as different-label pairs below.

    Parameters
    ----------
    distances : float array (P,)
    same : bool array (P,)

    Returns
    -------
    float
        In (0, 1). The median distance if only one kind of pair exists.
    """
    if same.all() or not same.any():
        threshold = float(np.median(distances)) if len(distances) else 0.5
    else:
        false_rate, true_rate, thresholds = roc_curve(same, -distances)
        best = int(np.argmin(np.abs(false_rate - (1 - true_rate))))
        threshold = float(-thresholds[best])
    return float(np.clip(threshold, 1e-3, 1 - 1e-3))


def calibrate(distance: np.ndarray, threshold: float) -> np.ndarray:
    """Distance on a scale that all nodes share: 0 equal, 0.5 at the node's threshold, below 1."""
    return distance / (distance + threshold)


@dataclass(frozen=True)
class Similarity:
    """A weighted sum over nodes; contributions sum exactly to the total.

    The total distance is `sum_n distance[n] * c_n + absence[n] * [one lacks n]` with the calibrated
    distance c_n. Two images are of one label with probability `sigmoid(offset - total)`.

    Parameters
    ----------
    nodes : tuple of str
    distance : float array (nodes,), not negative
    absence : float array (nodes,), not negative
    offset : float
    """

    nodes: tuple[str, ...]
    distance: np.ndarray
    absence: np.ndarray
    offset: float

    def to_dict(self) -> dict[str, object]:
        return {
            "offset": self.offset,
            "distance": dict(zip(self.nodes, self.distance.tolist(), strict=True)),
            "absence": dict(zip(self.nodes, self.absence.tolist(), strict=True)),
        }

    @classmethod
    def from_dict(cls, content: dict) -> Similarity:
        nodes = tuple(content["distance"])
        return cls(
            nodes,
            np.array([content["distance"][n] for n in nodes]),
            np.array([content["absence"][n] for n in nodes]),
            float(content["offset"]),
        )


def pair_weights(
    first: np.ndarray, second: np.ndarray, same: np.ndarray, balanced: bool
) -> np.ndarray:
    """Weights of pairs: same and different count equally, and, if balanced, every cell pair too.

    Parameters
    ----------
    first, second : int arrays (P,)
        Cells of the two images.
    same : bool array (P,)
    balanced : bool
        Give every unordered pair of cells the same total weight within same and different.

    Returns
    -------
    float array (P,)
        Summing to 1.
    """
    weights = np.ones(len(same))
    if balanced:
        low, high = np.minimum(first, second), np.maximum(first, second)
        kind = np.unique(low * (high.max() + 1) + high, return_inverse=True)[1]
        weights /= np.bincount(kind)[kind]
    for value in (True, False):
        if (same == value).any():
            weights[same == value] /= weights[same == value].sum()
    return weights / weights.sum()


def fit_similarity(
    nodes: tuple[str, ...],
    calibrated: np.ndarray,
    one_absent: np.ndarray,
    same: np.ndarray,
    weights: np.ndarray,
    penalty: float = 1e-3,
) -> Similarity:
    """Non-negative logistic regression of "same label" on the nodes' distances.

    Parameters
    ----------
    calibrated : float array (P, nodes)
    one_absent : bool array (P, nodes)
    same : bool array (P,)
    weights : float array (P,), summing to 1
    penalty : float
        L2 penalty on the weights, relative to the mean log loss.
    """
    features = np.concatenate([calibrated, one_absent], axis=1)
    sign = np.where(same, 1.0, -1.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, offset = parameters[:-1], parameters[-1]
        margin = sign * (offset - features @ slope)
        value = weights @ np.logaddexp(0, -margin) + penalty * slope @ slope
        pull = weights * -sign * expit(-margin)
        gradient = np.append(-(features.T @ pull) + 2 * penalty * slope, pull.sum())
        return float(value), gradient

    size = features.shape[1]
    result = minimize(
        loss,
        np.append(np.full(size, 0.1), 0.0),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * size + [(None, None)],
    )
    slope = result.x[:-1]
    return Similarity(
        nodes, slope[: len(nodes)].copy(), slope[len(nodes) :].copy(), float(result.x[-1])
    )
