"""The stage: scores of every node for every group attribute, out of fold, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from data_contracts import ASSOCIATION, BIAS_SCORES, COVERAGE
from heml.bias.association import association
from heml.bias.coverage import aligned_records, coverage
from heml.bias.leakage import WithinLabelAUC, group_scores
from heml.bias.reliance import out_of_fold_votes
from heml.bias.score import bias_score
from heml.images import image_index
from heml.metrics.artifacts import NodeMetric, load_node
from heml.progress import Progress
from heml.settings import MetricSettings
from heml.stage import Outcome, run_stage
from heml.store import Store, fingerprint, write_aside
from heml.taxonomy import Taxonomy

VERSION = 2
RESAMPLES = 500
PERMUTATIONS = 500
#: Where the group or its conflict cannot be measured, nothing is known to be wrong.
_NO_SCORE = {"score": 0.0, "score_low": 0.0, "score_high": 0.0}


def measure_bias(
    store: Store,
    taxonomy: Taxonomy,
    label_name: str,
    groups: Sequence[str],
    settings: MetricSettings,
    progress: Progress,
) -> Outcome:
    """Writes `store.bias_scores`, `store.coverage` and `store.association`."""
    key = fingerprint(
        VERSION,
        label_name,
        list(groups),
        settings.neighbours,
        settings.seed,
        taxonomy.describe(),
        [store.fingerprint(f"metric/{node}") for node in taxonomy.nodes],
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        index = image_index(store, list(groups))
        train = index[index["split"] == "train"]
        rows = []
        for number, node in enumerate(taxonomy.nodes, start=1):
            progress(f"bias_scores: {node} ({number}/{len(taxonomy.nodes)})")
            metric = load_node(store, node)
            rows += [
                {
                    "node": node,
                    "kind": taxonomy.kind(node),
                    **score_node(metric, index, group, settings),
                }
                for group in groups
            ]
        scores = rank_scores(pd.DataFrame(rows))
        cells = coverage(train, label_name, groups)
        links = association(train, list(groups), RESAMPLES, settings.seed)
        outputs = [store.bias_scores, store.coverage, store.association]
        for contract, frame, path in zip(
            (BIAS_SCORES, COVERAGE, ASSOCIATION), (scores, cells, links), outputs, strict=True
        ):
            contract.validate(frame, [c.name for c in contract.columns if c.name != "groups"])
            with write_aside(path) as aside:
                pq.write_table(contract.table(frame), aside)
        summary = _describe(scores, cells, links)
        progress(f"bias_scores: {summary['words']}")
        return summary, outputs

    return run_stage(store, "bias_scores", key, compute, progress)


def score_node(
    metric: NodeMetric, index: pd.DataFrame, group: str, settings: MetricSettings
) -> dict[str, Any]:
    """All measures of one node for one group attribute.

    Parameters
    ----------
    metric : NodeMetric
    index : DataFrame
        Columns split, label and the group, over the metric's images.

    Returns
    -------
    dict
        Columns of the `bias_scores` contract but node, kind, rank and leakage_q.
    """
    train = (index["split"] == "train").to_numpy()
    labels = np.unique(index["label"], return_inverse=True)[1]
    values = np.unique(index[group], return_inverse=True)[1]
    cells = labels * (values.max() + 1) + values
    aligned = aligned_records(index, index[train], group)
    votes = out_of_fold_votes(metric, labels, settings.neighbours)
    correct = votes.argmax(axis=1) == labels

    scores = group_scores(metric, cells, values)
    folds = len(metric.cross_fitted)
    strata = np.where(train, labels * folds + metric.fold, -1)
    auc = WithinLabelAUC(scores, values, strata, settings.seed)
    weights = _resamples(np.where(train, cells * folds + metric.fold, -1), settings.seed)

    accuracies: dict[str, Any] = {}
    drawn_accuracies = []
    rng = np.random.default_rng(settings.seed)
    for name, chosen in (("aligned", train & aligned), ("conflicting", train & ~aligned)):
        accuracies |= _accuracy(f"accuracy_{name}", correct[chosen])
        right, n = correct[chosen].sum(), chosen.sum()
        # Resampled counts would be certain of 0 of 12; Jeffreys' posterior is not.
        drawn_accuracies.append(rng.beta(right + 0.5, n - right + 0.5, RESAMPLES))
    leakage = auc.value()
    row: dict[str, Any] = {
        "group": group,
        "n": int(train.sum()),
        "n_conflicting": int((train & ~aligned).sum()),
        "present": float(metric.present[train].mean()),
        **accuracies,
    }
    if leakage is None:
        row |= dict.fromkeys(("leakage", "leakage_low", "leakage_high", "leakage_p"))
        return row | _NO_SCORE
    leaks = auc.resampled(weights)
    null = auc.permuted(PERMUTATIONS, settings.seed)
    row |= {
        "leakage": leakage,
        "leakage_low": float(np.quantile(leaks, 0.025)),
        "leakage_high": float(np.quantile(leaks, 0.975)),
        "leakage_p": float((1 + (null >= leakage).sum()) / (1 + len(null))),
    }
    if None in accuracies.values():
        return row | _NO_SCORE
    score = float(bias_score(leakage, row["accuracy_aligned"], row["accuracy_conflicting"]))
    low, high = np.quantile(bias_score(leaks, *drawn_accuracies), [0.025, 0.975])
    return row | {
        "score": score,
        "score_low": min(float(low), score),
        "score_high": max(float(high), score),
    }


def _resamples(strata: np.ndarray, seed: int) -> np.ndarray:
    """Bootstrap counts int16 (RESAMPLES, N), drawn within strata; -1 leaves a row out."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((RESAMPLES, len(strata)), np.int16)
    for stratum in np.unique(strata[strata >= 0]):
        rows = np.flatnonzero(strata == stratum)
        counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), RESAMPLES)
    return counts


def _accuracy(name: str, correct: np.ndarray) -> dict[str, float | None]:
    if len(correct) == 0:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    low, high = proportion_confint(correct.sum(), len(correct), method="wilson")
    return {name: float(correct.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


def rank_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Adds rank (within kind and group) and false-discovery-controlled q-values, best first."""
    scores = scores.copy()
    tested = scores["leakage_p"].notna()
    scores["leakage_q"] = None
    if tested.any():
        scores.loc[tested, "leakage_q"] = multipletests(
            scores.loc[tested, "leakage_p"].astype(float), method="fdr_bh"
        )[1]
    for column in scores.columns.drop(["node", "kind", "group"]):
        scores[column] = pd.to_numeric(scores[column])
    # Equal scores are told apart by leakage: without it every harmless node would tie at 0.
    scores = scores.sort_values(
        ["group", "score", "leakage", "node"], ascending=[True, False, False, True]
    )
    scores["rank"] = (scores.groupby(["kind", "group"]).cumcount() + 1).astype("int32")
    return scores.reset_index(drop=True)


def _describe(scores: pd.DataFrame, cells: pd.DataFrame, links: pd.DataFrame) -> dict[str, Any]:
    leaves = scores[scores["kind"] == "leaf"]
    summary: dict[str, Any] = {"empty_cells": int((cells["n"] == 0).sum())}
    words = []
    for group, own in leaves.groupby("group"):
        first = own.iloc[0]
        summary[f"top_leaf_{group}"] = str(first["node"])
        summary[f"top_score_{group}"] = float(first["score"])
        words.append(
            f"{group} is carried most by {first['node']}, score {first['score']:.2f} "
            f"[{first['score_low']:.2f}, {first['score_high']:.2f}]"
        )
    for link in links.itertuples():
        summary[f"cramers_v_{link.group}"] = float(link.cramers_v)  # type: ignore[arg-type]
    summary["scores"] = {
        f"{row.node} × {row.group}": round(float(row.score), 4)  # type: ignore[arg-type]
        for row in scores.itertuples()
    }
    return {**summary, "words": "; ".join(words)}
