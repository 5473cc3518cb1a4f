"""Joining the nodes' distances: calibration, and additive similarities with learned weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit


@dataclass(frozen=True)
class Calibration:
    """A node's threshold, and how well it tells same from different labels on held-out pairs.

    Parameters
    ----------
    threshold : float
        Bounded distance below which a pair is called similar, in (0, 1).
    error_rate : float or None
        Equal error rate; None if only one kind of pair exists.
    error_low, error_high : float or None
        95% interval by bootstrap over images: pairs share images, so they are no sample of their
        own.
    pairs : int
        Held-out pairs that both have the node.
    """

    threshold: float
    error_rate: float | None
    error_low: float | None
    error_high: float | None
    pairs: int


def equal_error(
    distances: np.ndarray, same: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, float | None]:
    """Threshold at which as many same-label pairs are above as different-label pairs below.

    Parameters
    ----------
    distances : float array (P,)
    same : bool array (P,)
    weights : float array (P,), optional

    Returns
    -------
    threshold : float
        In (0, 1), between two distances. The median distance if only one kind of pair exists.
    error_rate : float or None
        Share of wrong pairs of either kind there; None if only one kind exists.
    """
    weights = np.ones(len(distances)) if weights is None else weights
    order = np.argsort(distances, kind="stable")
    distances, same, weights = distances[order], same[order], weights[order]
    return _equal_error(distances, np.where(same, weights, 0), np.where(same, 0, weights))


def _equal_error(
    distances: np.ndarray, same: np.ndarray, different: np.ndarray
) -> tuple[float, float | None]:
    """For sorted distances and the weights of both kinds."""
    if not same.any() or not different.any():
        median = float(np.median(distances)) if len(distances) else 0.5
        return _inside(median), None
    # Equal distances fall on one side together.
    last = np.append(distances[1:] != distances[:-1], True)
    accepted = (np.cumsum(different) / different.sum())[last]
    refused = 1 - (np.cumsum(same) / same.sum())[last]
    best = int(np.argmin(np.abs(accepted - refused)))
    above = distances[last][min(best + 1, len(accepted) - 1)]
    threshold = (float(distances[last][best]) + float(above)) / 2
    return _inside(threshold), float((accepted[best] + refused[best]) / 2)


def _inside(threshold: float) -> float:
    return float(np.clip(threshold, 1e-3, 1 - 1e-3))


def calibrate_node(
    distances: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    same: np.ndarray,
    resamples: int = 200,
    seed: int = 0,
) -> Calibration:
    """Threshold of a node at equal error, with an interval of the error.

    Parameters
    ----------
    distances : float array (P,)
    first, second : int arrays (P,)
        Images of each pair.
    same : bool array (P,)
    resamples : int
    seed : int
    """
    threshold, rate = equal_error(distances, same)
    if rate is None:
        return Calibration(threshold, None, None, None, len(distances))
    order = np.argsort(distances, kind="stable")
    distances, first, second, same = (x[order] for x in (distances, first, second, same))
    rng = np.random.default_rng(seed)
    count = int(max(first.max(), second.max())) + 1
    images = np.union1d(first, second)
    rates = []
    for _ in range(resamples):
        drawn = np.bincount(rng.choice(images, len(images)), minlength=count)
        weights = drawn[first] * drawn[second]
        drawn_rate = _equal_error(distances, weights * same, weights * ~same)[1]
        if drawn_rate is not None:
            rates.append(drawn_rate)
    low, high = np.quantile(rates, [0.025, 0.975]) if rates else (0.0, 1.0)
    return Calibration(
        threshold, rate, min(float(low), rate), max(float(high), rate), len(distances)
    )


Distance = TypeVar("Distance", float, np.ndarray)


def calibrate(distance: Distance, threshold: float) -> Distance:
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

    def weights_of(self, node: str) -> tuple[float, float]:
        """Weights of a node's distance and of its absence in one image."""
        place = self.nodes.index(node)
        return float(self.distance[place]), float(self.absence[place])

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
    first: np.ndarray,
    second: np.ndarray,
    same: np.ndarray,
    balanced: bool,
    stands_for: np.ndarray | None = None,
) -> np.ndarray:
    """Weights of pairs: same and different count equally, and, if balanced, every group pair too.

    Parameters
    ----------
    first, second : int arrays (P,)
        Groups of the two images.
    same : bool array (P,)
    balanced : bool
        Give every unordered pair of groups the same total weight within same and different. If
        not, pairs count as often as they occur.
    stands_for : float array (P,), optional
        Of how many pairs each was drawn; one if not given.

    Returns
    -------
    float array (P,)
        Summing to 1.
    """
    weights = np.ones(len(same)) if balanced or stands_for is None else stands_for.astype(float)
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
