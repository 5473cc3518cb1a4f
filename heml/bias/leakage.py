"""Leakage: how well a node's embedding alone tells the group among records of one label.

Measured as AUC: 0.5 is chance whatever the group's frequencies, so no majority baseline enters.
With more than two group values it is the mean over values of each against the rest (macro
one-vs-rest), so that a rare value counts as much as a frequent one. Records are compared only
within their label and fold, with a classifier that saw neither.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heml.metrics.artifacts import NodeMetric

#: Larger strata are thinned to this many records: enough for an AUC known to one per cent.
MAX_STRATUM = 4000


def group_scores(metric: NodeMetric, cells: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Out-of-fold scores of every group value by a linear classifier on the embedding.

    Cells count equally in the fit, so that knowing the label does not help to guess the group.

    Parameters
    ----------
    metric : NodeMetric
    cells : int array (N,)
        Label × group value of each image.
    groups : int array (N,)
        Group values 0 to V - 1; -1 where not known: such records neither fit nor are judged.

    Returns
    -------
    float array (N, V)
        Zeros outside the train split and where nothing could be fitted.
    """
    scores = np.zeros((len(groups), max(int(groups.max(initial=0)) + 1, 1)))
    presence = metric.present[:, None].astype(np.float32)
    presence = np.broadcast_to(presence, (*metric.cross_fitted.shape[:2], 1))
    features = np.concatenate([metric.cross_fitted, presence], axis=2)
    usable = (metric.fold >= 0) & (groups >= 0)
    for fold in range(len(features)):
        fit = np.flatnonzero((metric.fold != fold) & usable)
        judged = np.flatnonzero((metric.fold == fold) & usable)
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
    """Records of one label and fold, with the draws that all nodes share.

    Parameters
    ----------
    rows : int array (n,)
    groups : int8 array (n,)
    weights : int8 array (B, n)
        How often each record is in each bootstrap resample.
    shuffled : int8 array (T, n)
        Group values in each permutation.
    """

    rows: np.ndarray
    groups: np.ndarray
    weights: np.ndarray
    shuffled: np.ndarray


class WithinLabelAUC:
    """AUC over pairs of records of the same label and fold, with its interval and test.

    Resamples and permutations are drawn once and shared by all nodes that are judged.

    Parameters
    ----------
    groups : int array (N,)
        Group values 0 to V - 1.
    strata : int array (N,)
        Label and fold of each record; -1 leaves a record out.
    resamples : int
        Bootstrap resamples, drawn within label, fold and group value.
    permutations : int
        Of the group values within label and fold.
    seed : int
    """

    def __init__(
        self,
        groups: np.ndarray,
        strata: np.ndarray,
        resamples: int = 500,
        permutations: int = 500,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self._times = resamples, permutations
        self._strata: list[_Stratum] = []
        for stratum in np.unique(strata[strata >= 0]):
            rows = np.flatnonzero(strata == stratum)
            if len(rows) > MAX_STRATUM:
                rows = np.sort(rng.choice(rows, MAX_STRATUM, replace=False))
            own = groups[rows].astype(np.int16)
            if len(np.unique(own)) < 2:
                continue
            shuffled = rng.permuted(np.tile(own, (permutations, 1)), axis=1)
            self._strata.append(_Stratum(rows, own, _resamples(own, resamples, rng), shuffled))
        used = [np.unique(s.groups) for s in self._strata]
        #: Group values that some stratum lets compare with another.
        self.values: list[int] = np.unique(np.concatenate(used)).tolist() if used else []

    def measure(
        self, scores: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray] | tuple[None, None, None]:
        """The AUC, its bootstrap draws (B,), and its null draws (T,); None without comparisons.

        Parameters
        ----------
        scores : float array (N, V)
        """
        if not self.values:
            return None, None, None
        # Of two values, the second one's comparisons are the first one's, mirrored.
        chosen: Sequence[int] = self.values if scores.shape[1] > 2 else [scores.shape[1] - 1]
        parts = [self._of_value(scores[:, value], value) for value in chosen]
        value, drawn, null = (np.mean(part, axis=0) for part in zip(*parts, strict=True))
        return float(value), drawn, null

    def _of_value(self, scores: np.ndarray, value: int) -> tuple[float, np.ndarray, np.ndarray]:
        """AUC of one group value against the rest, pooled over the pairs of all strata."""
        won, compared, null_won = 0.0, 0.0, np.zeros(self._times[1])
        drawn_won, drawn_compared = np.zeros(self._times[0]), np.zeros(self._times[0])
        for s in self._strata:
            own = s.groups == value
            count = int(own.sum())
            if count in (0, len(own)):
                continue
            ranks = rankdata(scores[s.rows])
            least = count * (count + 1) / 2
            won += ranks[own].sum() - least
            compared += count * (len(own) - count)
            null_won += (s.shuffled == value) @ ranks - least
            wins, pairs = _weighted_wins(scores[s.rows], own, s.weights)
            drawn_won += wins
            drawn_compared += pairs
        return won / compared, drawn_won / np.maximum(drawn_compared, 1), null_won / compared


def _resamples(groups: np.ndarray, times: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap counts int16 (times, n), drawn within each group value."""
    counts = np.empty((times, len(groups)), np.int16)
    for value in np.unique(groups):
        rows = np.flatnonzero(groups == value)
        counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), times)
    return counts


def _weighted_wins(
    scores: np.ndarray, own: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Comparisons that own records win over others, ties half, and all comparisons, per resample."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    below = np.searchsorted(ordered, ordered, side="left")
    upto = np.searchsorted(ordered, ordered, side="right")
    weights = weights[:, order].astype(np.float32)
    mine = own[order]
    others = np.zeros((len(weights), len(order) + 1), np.float32)
    np.cumsum(np.where(mine, 0, weights), axis=1, out=others[:, 1:])
    beaten = (others[:, below[mine]] + others[:, upto[mine]]) / 2
    pairs = weights[:, mine].sum(axis=1) * others[:, -1]
    return (weights[:, mine] * beaten).sum(axis=1), pairs
