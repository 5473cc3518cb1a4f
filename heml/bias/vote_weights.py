"""Votes of several voters for a label, joined with one weight for each voter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

#: L2 penalty on the weights, relative to the mean log loss.
PENALTY = 1e-2


@dataclass(frozen=True)
class VoteWeights:
    """Logits of the labels are `offsets + sum_v weights[v] * votes[v]`.

    Parameters
    ----------
    weights : float array (V,), not negative
    offsets : float array (L,)
    """

    weights: np.ndarray
    offsets: np.ndarray

    def probabilities(self, votes: np.ndarray) -> np.ndarray:
        """Of every label, float array (N, L), from votes (N, V, L)."""
        return np.asarray(softmax(_logits(votes, self.weights, self.offsets), axis=1))


def _logits(votes: np.ndarray, weights: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return np.einsum("nvl,v->nl", votes, weights) + offsets


def fit_votes(votes: np.ndarray, labels: np.ndarray, counts_as: np.ndarray) -> VoteWeights:
    """Conditional logit with weights that are not negative: no voter is believed the less the surer
    it is.

    Parameters
    ----------
    votes : float array (N, V, L)
        Shares less chance; zeros where a voter abstains.
    labels : int array (N,)
    counts_as : float array (N,)
        Weight of each record.
    """
    voters, count = votes.shape[1:]
    share = counts_as / counts_as.sum()
    truth = np.eye(count)[labels]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, offsets = parameters[:voters], parameters[voters:]
        guessed = softmax(_logits(votes, weights, offsets), axis=1)
        right = np.maximum(guessed[np.arange(len(labels)), labels], 1e-12)
        pull = share[:, None] * (guessed - truth)
        gradient = np.einsum("nvl,nl->v", votes, pull) + 2 * PENALTY * weights
        value = -share @ np.log(right) + PENALTY * weights @ weights
        return float(value), np.concatenate([gradient, pull.sum(axis=0)])

    start = np.concatenate([np.full(voters, 0.1), np.zeros(count)])
    bounds = [(0, None)] * voters + [(None, None)] * count
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return VoteWeights(found[:voters], found[voters:])


def cross_fitted(
    votes: np.ndarray, labels: np.ndarray, fold: np.ndarray, counts_as: np.ndarray
) -> np.ndarray:
    """Probabilities of the labels from weights that were fitted without the record's fold.

    Parameters
    ----------
    votes : float array (N, V, L)
    labels : int array (N,)
    fold : int array (N,)
        -1 for records that are not fitted on and get the mean of all fits.
    counts_as : float array (N,)

    Returns
    -------
    float array (N, L)
        Equal where nothing can be fitted without the fold.
    """
    found = np.zeros((len(labels), votes.shape[2]))
    folds = np.unique(fold[fold >= 0])
    for f in folds:
        fit = (fold >= 0) & (fold != f)
        own, others = fold == f, fold < 0
        if len(np.unique(labels[fit])) < 2:
            found[own] = 1 / votes.shape[2]
            found[others] += 1 / votes.shape[2] / len(folds)
            continue
        weights = fit_votes(votes[fit], labels[fit], counts_as[fit])
        found[own] = weights.probabilities(votes[own])
        found[others] += weights.probabilities(votes[others]) / len(folds)
    return found


def balanced_weights(*columns: np.ndarray) -> np.ndarray:
    """Weights that make every combination of the columns' codes count the same.

    Parameters
    ----------
    columns : int arrays (N,)

    Returns
    -------
    float array (N,)
    """
    cells = np.unique(np.stack(columns), axis=1, return_inverse=True)[1].ravel()
    return 1 / np.bincount(cells)[cells]
