"""Leakage: how well a node's embedding alone tells the group among records of one label.

Measured as AUC: 0.5 is chance whatever the group's frequencies, so no majority baseline enters.
Records are compared only within their label and fold, with a classifier that saw neither.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heml.metrics.artifacts import NodeMetric

#: Larger strata are thinned to this many records: comparisons grow with the square.
MAX_STRATUM = 2000


def group_scores(metric: NodeMetric, cells: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Out-of-fold scores of every group value by a linear classifier on the embedding.

    Cells count equally in the fit, so that knowing the label does not help to guess the group.

    Parameters
    ----------
    metric : NodeMetric
    cells : int array (N,)
        Label × group value of each image.
    groups : int array (N,)
        Group values 0 to V - 1.

    Returns
    -------
    float array (N, V)
        Zeros outside the train split and where nothing could be fitted.
    """
    scores = np.zeros((len(groups), int(groups.max()) + 1))
    presence = metric.present[:, None].astype(np.float32)
    presence = np.broadcast_to(presence, (*metric.cross_fitted.shape[:2], 1))
    features = np.concatenate([metric.cross_fitted, presence], axis=2)
    for fold in range(len(features)):
        fit = np.flatnonzero((metric.fold != fold) & (metric.fold >= 0))
        judged = np.flatnonzero(metric.fold == fold)
        if len(np.unique(groups[fit])) < 2 or len(judged) == 0:
            continue
        weights = 1 / np.bincount(cells[fit])[cells[fit]]
        classifier = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.1, max_iter=300, tol=1e-3)
        )
        with warnings.catch_warnings():
            # An unfinished fit is only a slightly weaker probe.
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit(
                features[fold][fit],
                groups[fit],
                logisticregression__sample_weight=weights * len(fit) / weights.sum(),
            )
        known = classifier.classes_
        decision = classifier.decision_function(features[fold][judged])
        if decision.ndim == 1:
            decision = np.stack([-decision, decision], axis=1)
        scores[np.ix_(judged, known)] = decision
    return scores


@dataclass(frozen=True)
class _Stratum:
    """Records of one label and fold, split by one group value."""

    positives: np.ndarray
    negatives: np.ndarray
    wins: np.ndarray
    ranks: np.ndarray


class WithinLabelAUC:
    """AUC over pairs of records of the same label and fold.

    Parameters
    ----------
    scores : float array (N, V)
    groups : int array (N,)
        Group values 0 to V - 1.
    strata : int array (N,)
        Label and fold of each record; -1 leaves a record out.
    seed : int
    """

    def __init__(
        self, scores: np.ndarray, groups: np.ndarray, strata: np.ndarray, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        self._strata: list[_Stratum] = []
        # With two values the second one's comparisons are the first one's, mirrored.
        values = range(scores.shape[1]) if scores.shape[1] > 2 else [scores.shape[1] - 1]
        for stratum in np.unique(strata[strata >= 0]):
            rows = np.flatnonzero(strata == stratum)
            if len(rows) > MAX_STRATUM:
                rows = np.sort(rng.choice(rows, MAX_STRATUM, replace=False))
            for value in values:
                own = groups[rows] == value
                if not own.any() or own.all():
                    continue
                positives, negatives = rows[own], rows[~own]
                difference = scores[positives, value][:, None] - scores[negatives, value][None, :]
                wins = (difference > 0) + 0.5 * (difference == 0)
                ranks = rankdata(scores[rows, value])
                self._strata.append(_Stratum(positives, negatives, wins, ranks))

    @property
    def pairs(self) -> int:
        """Number of comparisons; 0 means that leakage cannot be measured."""
        return sum(s.wins.size for s in self._strata)

    def value(self) -> float | None:
        """The AUC, or None without comparisons."""
        if not self.pairs:
            return None
        return float(sum(s.wins.sum() for s in self._strata) / self.pairs)

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """AUC of bootstrap resamples.

        Parameters
        ----------
        weights : int array (B, N)
            How often each record is in each resample.

        Returns
        -------
        float array (B,)
        """
        won = np.zeros(len(weights))
        compared = np.zeros(len(weights))
        for s in self._strata:
            positives = weights[:, s.positives].astype(float)
            negatives = weights[:, s.negatives].astype(float)
            won += ((positives @ s.wins) * negatives).sum(axis=1)
            compared += positives.sum(axis=1) * negatives.sum(axis=1)
        return won / np.maximum(compared, 1)

    def permuted(self, times: int, seed: int) -> np.ndarray:
        """AUC with group values shuffled within every stratum, float array (times,)."""
        rng = np.random.default_rng(seed)
        won = np.zeros(times)
        for s in self._strata:
            count = len(s.positives)
            for trial in range(times):
                chosen = rng.permutation(s.ranks)[:count].sum()
                won[trial] += chosen - count * (count + 1) / 2
        return won / max(self.pairs, 1)
