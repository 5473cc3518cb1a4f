"""Which label a leaf alone looks like: guessed for every image by models that never saw it.

Two learners that fail differently: the leaf's metric, and a linear discriminant of its plain
appearance. What one of them merely failed to learn, the other seldom gets wrong with it; a segment
that shows something else than the label, such as a dark background, looks like the same wrong label
to both. Classifiers that can learn little take shortcuts first (Nam et al., Learning from Failure,
NeurIPS 2020); groups made of a model's own guesses are those of Creager et al., Environment
Inference for Invariant Learning, ICML 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from heml.bias.accuracy_gap import BATCH, votes_by_fold
from heml.bias.vote_weights import balanced_weights, cross_fitted
from heml.metrics.artifacts import NodeMetric

#: Of a label, at least so many records must show the leaf for its appearance to be learned.
FEWEST = 3
#: Standardized appearance is cut off here: one odd image is no direction.
FARTHEST = 5.0


@dataclass(frozen=True)
class LabelGuess:
    """Guesses of one leaf.

    Parameters
    ----------
    probabilities : float array (N, L)
        Of both learners together; equal where the image does not show the leaf.
    by_appearance : float array (N, L)
        Of the appearance alone; equal where it is not known.
    """

    probabilities: np.ndarray
    by_appearance: np.ndarray


def guess_labels(
    votes: np.ndarray, appearance: np.ndarray, labels: np.ndarray, fold: np.ndarray
) -> LabelGuess:
    """Guesses for all images from the train records of other folds.

    Parameters
    ----------
    votes : float array (N, L)
        Of the leaf's metric (`votes_of_all`), zeros where there are none.
    appearance : float array (N, D)
        NaN where the image does not show the leaf.
    labels : int array (N,)
        Looked at only where there is a fold.
    fold : int array (N,)
        Cross-fitting folds, -1 elsewhere: such images get the mean of all folds' models.
    """
    count = votes.shape[1]
    present = ~np.isnan(appearance).any(axis=1)
    plain = _by_appearance(appearance, labels, np.where(present, fold, -1), count)
    plain[~present] = 1 / count
    known = votes.sum(axis=1) > 0
    voters = np.stack([np.where(known[:, None], votes - 1 / count, 0), plain - 1 / count], axis=1)
    voters[~present] = 0
    fitted = np.where(present, fold, -1)
    weights = np.ones(len(labels))
    weights[fitted >= 0] = balanced_weights(labels[fitted >= 0])
    both = cross_fitted(voters, labels, fitted, weights)
    both[~present] = 1 / count
    return LabelGuess(both, plain)


def _by_appearance(
    appearance: np.ndarray, labels: np.ndarray, fold: np.ndarray, count: int
) -> np.ndarray:
    """Linear discriminant analysis with a shrunken covariance (Ledoit & Wolf 2004), labels equally
    probable beforehand.
    """
    found = np.zeros((len(labels), count))
    folds = np.unique(fold[fold >= 0])
    for f in folds:
        fit = (fold >= 0) & (fold != f)
        own, others = fold == f, fold < 0
        sizes = np.bincount(labels[fit], minlength=count)
        usable = np.flatnonzero(sizes >= FEWEST)
        if len(usable) < 2:
            guessed = np.full((len(labels), count), 1 / count)
        else:
            guessed = np.zeros((len(labels), count))
            fit &= np.isin(labels, usable)
            guessed[:, usable] = _discriminant(appearance, labels, fit)
        found[own] = guessed[own]
        found[others] += guessed[others] / len(folds)
    return found


def _discriminant(appearance: np.ndarray, labels: np.ndarray, fit: np.ndarray) -> np.ndarray:
    known = appearance[fit].astype(float)
    center, spread = known.mean(axis=0), known.std(axis=0)
    varied = spread > 1e-6
    classes = len(np.unique(labels[fit]))
    found = np.full((len(labels), classes), 1 / classes)
    if not varied.any():
        return found

    def standard(rows: np.ndarray) -> np.ndarray:
        moved = (np.nan_to_num(rows[:, varied].astype(float)) - center[varied]) / spread[varied]
        return np.clip(moved, -FARTHEST, FARTHEST)

    model = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage="auto", priors=np.full(classes, 1 / classes)
    ).fit(standard(known), labels[fit])
    for start in range(0, len(labels), BATCH):
        part = slice(start, start + BATCH)
        found[part] = model.predict_proba(standard(appearance[part]))
    return found


def votes_of_all(metric: NodeMetric, labels: np.ndarray, count: int, k: int) -> np.ndarray:
    """kNN votes of train records for the label of every image, by networks that never saw it.

    A train record gets those of its fold's network and the records outside the fold; any other
    image the mean over the folds.

    Parameters
    ----------
    metric : NodeMetric
    labels : int array (N,)
        Looked at only where the metric has a fold.
    count : int
        Label values L.
    k : int

    Returns
    -------
    float array (N, L)
    """
    votes = np.zeros((len(labels), count))
    folds = len(metric.cross_fitted)
    for fold in range(folds):
        rows = np.flatnonzero((metric.fold == fold) | (metric.fold < 0))
        share = np.where(metric.fold[rows] < 0, 1 / folds, 1.0)[:, None]
        votes[rows] += share * votes_by_fold(metric, fold, rows, labels, count, k)
    return votes
