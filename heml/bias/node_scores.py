"""Scores of nodes for one attribute: attribute AUC, accuracy gap, and what joins them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from heml.bias.accuracy_gap import AccuracyGap
from heml.bias.attribute_auc import AttributeAuc
from heml.bias.attributes import Attribute, contingency
from heml.bias.bias_score import bias_score
from heml.bias.bias_settings import BiasSettings
from heml.bias.coverage import aligned_values
from heml.bias.fdr import controlled
from heml.bias.tables import cramers_v, interval, p_value, permuted_tables
from heml.images.groups import MISSING
from heml.metrics.artifacts import NodeMetric

#: Tested measures: their p-values get q-values, each measure over all rows.
TESTED = ("attribute_auc", "accuracy_gap", "score")
#: A node is flagged if its score's q-value is no higher, its attribute AUC's interval lies above
#: chance and its score's interval above 0.
SIGNIFICANT, CHANCE = 0.05, 0.5
#: Where the attribute or its conflict cannot be measured, nothing is known to be wrong.
_NO_SCORE = {"score": 0.0, "score_low": 0.0, "score_high": 0.0, "score_p": None}


class AttributeScorer:
    """What all nodes share when they are scored for one attribute: groups, resamples, permutations.

    Parameters
    ----------
    index : DataFrame
        Columns split, label and the attribute's, over the metrics' images.
    attribute : Attribute
    fold : int array (N,)
        Cross-fitting folds of the metrics.
    settings : BiasSettings
    """

    def __init__(
        self, index: pd.DataFrame, attribute: Attribute, fold: np.ndarray, settings: BiasSettings
    ) -> None:
        values = attribute.values(index)
        train = (index["split"] == "train").to_numpy()
        known = values != MISSING
        labels = np.unique(index["label"], return_inverse=True)[1]
        codes = np.full(len(index), -1)
        codes[known] = np.unique(values[known].astype(str), return_inverse=True)[1]
        aligned = aligned_values(index["label"].to_numpy(str), values, train)
        self.attribute = attribute
        self.fold = fold
        self._judged = train & known
        self._aligned = aligned[self._judged]
        draws = settings.resamples, settings.permutations
        train_fold = np.where(train, fold, -1)
        self._attribute_auc = AttributeAuc(labels, codes, train_fold, *draws, settings.seed)
        self._accuracy_gap = AccuracyGap(
            self._aligned, labels[self._judged], max(draws), settings.seed
        )
        self._settings = settings
        self._missing = int((train & ~known).sum())
        counts = contingency(index[train], attribute)
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
            "attribute": self.attribute.name,
            "attributes": list(self.attribute.columns),
            "n": int(judged.sum()),
            "n_conflicting": int((~self._aligned).sum()),
            "n_missing": self._missing,
            "present": float(metric.present[judged].mean()) if judged.any() else 0.0,
            **accuracies,
            **_measured("attribute_auc"),
            **_measured("accuracy_gap"),
            **_NO_SCORE,
            "note": self._note,
        }
        if self._attribute_auc.measurable:
            auc, aucs, null = self._attribute_auc.measure(_features(metric))
            row |= _measured("attribute_auc", auc, aucs, null)
        if self._accuracy_gap.measurable:
            gap, gaps, null = self._accuracy_gap.gap(right)
            row |= _measured("accuracy_gap", gap, gaps, null)
        if self._attribute_auc.measurable and self._accuracy_gap.measurable:
            row |= self._joined(auc, aucs, gap, gaps)
            # Without an association, what is aligned is chance, and so is the gap.
            row["score_p"] = max(row["attribute_auc_p"], row["accuracy_gap_p"], self._linked)
        row["note"] = row["note"] or self._unmeasured(row)
        return row

    def _joined(
        self, auc: float, aucs: np.ndarray, gap: float, gaps: np.ndarray
    ) -> dict[str, float]:
        times = self._settings.resamples
        score = float(bias_score(auc, gap))
        low, high = interval(bias_score(aucs, gaps[:times]), score)
        return {"score": score, "score_low": float(low), "score_high": float(high)}

    def _unmeasured(self, row: dict[str, Any]) -> str:
        if row["attribute_auc"] is None:
            return "no label has two records of different attribute values in one fold"
        return (
            "no label has both aligned and conflicting records"
            if row["accuracy_gap"] is None
            else ""
        )


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


_WORDS = ("node", "kind", "attribute", "attributes", "note", "flagged")


def rank_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Adds rank (within kind and attribute), false-discovery-controlled q-values and flags, best
    first.

    A node is flagged where it is biased beyond chance: the q-value of its score is at most
    `SIGNIFICANT`, and the intervals of attribute AUC and score lie above chance and above 0.
    """
    scores = scores.copy()
    for name in TESTED:
        scores[f"{name}_q"] = controlled(scores, column=f"{name}_p")
    scores["flagged"] = (
        (scores["score_q"] <= SIGNIFICANT)
        & (pd.to_numeric(scores["attribute_auc_low"]) > CHANCE)
        & (scores["score_low"] > 0)
    )
    for column in scores.columns.drop([word for word in _WORDS if word in scores]):
        scores[column] = pd.to_numeric(scores[column])
    # Equal scores are ordered by attribute AUC: without it every harmless node would tie at 0.
    scores = scores.sort_values(
        ["attribute", "score", "attribute_auc", "node"], ascending=[True, False, False, True]
    )
    scores["rank"] = (scores.groupby(["kind", "attribute"]).cumcount() + 1).astype("int32")
    return scores.reset_index(drop=True)
