"""Scores of nodes for one group: leakage, reliance, and the score that joins them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from heml.bias.coverage import aligned_values
from heml.bias.discoveries import controlled
from heml.bias.groups import Group, contingency
from heml.bias.leakage import WithinLabelAUC, group_scores
from heml.bias.reliance import Reliance
from heml.bias.score import bias_score
from heml.bias.tables import interval, p_value
from heml.cells import MISSING
from heml.metrics.artifacts import NodeMetric
from heml.settings import BiasSettings

#: Tested measures: their p-values get q-values, each measure over all rows.
TESTED = ("leakage", "gap", "score")
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
        self._codes = codes
        self._cells = labels * (codes.max(initial=0) + 1) + codes
        self._judged = train & known
        self._aligned = aligned[self._judged]
        strata = np.where(self._judged, labels * (fold.max(initial=0) + 1) + fold, -1)
        draws = settings.resamples, settings.permutations
        self._auc = WithinLabelAUC(codes, strata, *draws, settings.seed)
        self._reliance = Reliance(
            self._aligned, labels[self._judged], max(draws), settings.seed
        )
        self._settings = settings
        self._missing = int((train & ~known).sum())
        self._note = contingency(index[train], group).note()

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
        leakage, leaks, leak_null = self._leakage(metric)
        if leakage is not None:
            row |= _measured("leakage", leakage, leaks, leak_null)
        if self._reliance.measurable:
            gap, gaps, gap_null = self._reliance.gap(right)
            row |= _measured("gap", gap, gaps, gap_null)
            if leakage is not None:
                row |= self._joined(leakage, leaks, gap, gaps)
                row["score_p"] = max(row["leakage_p"], row["gap_p"])
        row["note"] = row["note"] or self._unmeasured(row)
        return row

    def _leakage(self, metric: NodeMetric) -> tuple[Any, Any, Any]:
        if not self._auc.values:
            return None, None, None
        return self._auc.measure(group_scores(metric, self._cells, self._codes))

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
    return dict(zip(names, (value, float(low), float(high), float(p_value(value, null))), strict=True))


def _accuracy(name: str, correct: np.ndarray) -> dict[str, float | None]:
    if len(correct) == 0:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    low, high = proportion_confint(correct.sum(), len(correct), method="wilson")
    return {name: float(correct.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


_WORDS = ("node", "kind", "group", "groups", "note")


def rank_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Adds rank (within kind and group) and false-discovery-controlled q-values, best first."""
    scores = scores.copy()
    for name in TESTED:
        scores[f"{name}_q"] = controlled(scores, column=f"{name}_p")
    for column in scores.columns.drop([word for word in _WORDS if word in scores]):
        scores[column] = pd.to_numeric(scores[column])
    # Equal scores are told apart by leakage: without it every harmless node would tie at 0.
    scores = scores.sort_values(
        ["group", "score", "leakage", "node"], ascending=[True, False, False, True]
    )
    scores["rank"] = (scores.groupby(["kind", "group"]).cumcount() + 1).astype("int32")
    return scores.reset_index(drop=True)
