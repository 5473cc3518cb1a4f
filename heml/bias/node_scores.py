"""Scores of nodes for one group: leakage, reliance, and the score that joins them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from heml.bias.accuracy_gap import Reliance
from heml.bias.attribute_auc import Leakage
from heml.bias.attributes import Group, contingency
from heml.bias.bias_score import bias_score
from heml.bias.bias_settings import BiasSettings
from heml.bias.coverage import aligned_values
from heml.bias.fdr import controlled
from heml.bias.tables import cramers_v, interval, p_value, permuted_tables
from heml.images.groups import MISSING
from heml.metrics.artifacts import NodeMetric

#: Tested measures: their p-values get q-values, each measure over all rows.
TESTED = ("leakage", "gap", "score")
#: A node is flagged if its score's q-value is no higher, its leakage's interval lies above chance
#: and its score's interval above 0.
SIGNIFICANT, CHANCE = 0.05, 0.5
#: Where the group or its conflict cannot be measured, nothing is known to be wrong.
_NO_SCORE = {"score": 0.0, "score_low": 0.0, "score_high": 0.0, "score_p": None}


class GroupScorer:
    """What all nodes share when they are scored for one group: cells, resamples, permutations.

    Parameters
    ----------
    index : DataFrame
        Columns split, label and the group's, over the metrics' images.
    group : Group
    fold : int array (N,)
        Cross-fitting folds of the metrics.
    settings : BiasSettings
    """

    def __init__(
        self, index: pd.DataFrame, group: Group, fold: np.ndarray, settings: BiasSettings
    ) -> None:
        values = group.values(index)
        train = (index["split"] == "train").to_numpy()
        known = values != MISSING
        labels = np.unique(index["label"], return_inverse=True)[1]
        codes = np.full(len(index), -1)
        codes[known] = np.unique(values[known].astype(str), return_inverse=True)[1]
        aligned = aligned_values(index["label"].to_numpy(str), values, train)
        self.group = group
        self.fold = fold
        self._judged = train & known
        self._aligned = aligned[self._judged]
        draws = settings.resamples, settings.permutations
        train_fold = np.where(train, fold, -1)
        self._leakage = Leakage(labels, codes, train_fold, *draws, settings.seed)
        self._reliance = Reliance(self._aligned, labels[self._judged], max(draws), settings.seed)
        self._settings = settings
        self._missing = int((train & ~known).sum())
        counts = contingency(index[train], group)
        self._note = counts.note()
        null = permuted_tables(
            counts.table, settings.permutations, np.random.default_rng(settings.seed)
        )
        self._linked = float(p_value(cramers_v(counts.table), cramers_v(null)))

    def score(self, metric: NodeMetric, correct: np.ndarray) -> dict[str, Any]:
        """All measures of one node.

        Parameters
        ----------
        metric : NodeMetric
        correct : bool array (N,)
            Whether the node's metric judged each train record's label rightly, out of fold.

        Returns
        -------
        dict
            Columns of the `bias_scores` contract but node, kind, rank and q-values.
        """
        judged = self._judged
        right = correct[judged]
        accuracies = _accuracy("accuracy_aligned", right[self._aligned]) | _accuracy(
            "accuracy_conflicting", right[~self._aligned]
        )
        row: dict[str, Any] = {
            "group": self.group.name,
            "groups": list(self.group.columns),
            "n": int(judged.sum()),
            "n_conflicting": int((~self._aligned).sum()),
            "n_missing": self._missing,
            "present": float(metric.present[judged].mean()) if judged.any() else 0.0,
            **accuracies,
            **_measured("leakage"),
            **_measured("gap"),
            **_NO_SCORE,
            "note": self._note,
        }
        if self._leakage.measurable:
            leakage, leaks, null = self._leakage.measure(_features(metric))
            row |= _measured("leakage", leakage, leaks, null)
        if self._reliance.measurable:
            gap, gaps, null = self._reliance.gap(right)
            row |= _measured("gap", gap, gaps, null)
        if self._leakage.measurable and self._reliance.measurable:
            row |= self._joined(leakage, leaks, gap, gaps)
            # Without an association, what is aligned is chance, and so is being fooled by it.
            row["score_p"] = max(row["leakage_p"], row["gap_p"], self._linked)
        row["note"] = row["note"] or self._unmeasured(row)
        return row

    def _joined(
        self, leakage: float, leaks: np.ndarray, gap: float, gaps: np.ndarray
    ) -> dict[str, float]:
        times = self._settings.resamples
        score = float(bias_score(leakage, gap))
        low, high = interval(bias_score(leaks, gaps[:times]), score)
        return {"score": score, "score_low": float(low), "score_high": float(high)}

    def _unmeasured(self, row: dict[str, Any]) -> str:
        if row["leakage"] is None:
            return "no label has two records of different group values in one fold"
        return "no label has both aligned and conflicting records" if row["gap"] is None else ""


def _features(metric: NodeMetric) -> np.ndarray:
    """Cross-fitted embeddings, with the node's presence as one more dimension."""
    shape = (*metric.cross_fitted.shape[:2], 1)
    presence = np.broadcast_to(metric.present[:, None].astype(np.float32), shape)
    return np.concatenate([metric.cross_fitted, presence], axis=2)


def _measured(
    name: str,
    value: float | None = None,
    drawn: np.ndarray | None = None,
    null: np.ndarray | None = None,
) -> dict[str, float | None]:
    names = [f"{name}{end}" for end in ("", "_low", "_high", "_p")]
    if value is None or drawn is None or null is None:
        return dict.fromkeys(names)
    low, high = interval(drawn, value)
    return dict(
        zip(names, (value, float(low), float(high), float(p_value(value, null))), strict=True)
    )


def _accuracy(name: str, correct: np.ndarray) -> dict[str, float | None]:
    if len(correct) == 0:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    low, high = proportion_confint(correct.sum(), len(correct), method="wilson")
    return {name: float(correct.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


_WORDS = ("node", "kind", "group", "groups", "note", "flagged")


def rank_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Adds rank (within kind and group), false-discovery-controlled q-values and flags, best first.

    A node is flagged where it is biased beyond chance: the q-value of its score is at most
    `SIGNIFICANT`, and the intervals of leakage and score lie above chance and above 0.
    """
    scores = scores.copy()
    for name in TESTED:
        scores[f"{name}_q"] = controlled(scores, column=f"{name}_p")
    scores["flagged"] = (
        (scores["score_q"] <= SIGNIFICANT)
        & (pd.to_numeric(scores["leakage_low"]) > CHANCE)
        & (scores["score_low"] > 0)
    )
    for column in scores.columns.drop([word for word in _WORDS if word in scores]):
        scores[column] = pd.to_numeric(scores[column])
    # Equal scores are told apart by leakage: without it every harmless node would tie at 0.
    scores = scores.sort_values(
        ["group", "score", "leakage", "node"], ascending=[True, False, False, True]
    )
    scores["rank"] = (scores.groupby(["kind", "group"]).cumcount() + 1).astype("int32")
    return scores.reset_index(drop=True)
