"""The stage: coverage, association, and scores of every node for every attribute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data_contracts import ASSOCIATION, BIAS_MEASURES, BIAS_SCORES, COVERAGE
from heml.bias.accuracy_gap import out_of_fold_votes
from heml.bias.association import association
from heml.bias.attributes import Attribute, measured_attributes
from heml.bias.bias_settings import BiasSettings
from heml.bias.coverage import coverage
from heml.bias.history import remember_scores
from heml.bias.measure import MEASURES
from heml.bias.node_scores import AttributeScorer, rank_scores
from heml.images.groups import MISSING, discovery
from heml.images.images_table import image_index
from heml.metrics.artifacts import NodeMetric, load_node, measured_images
from heml.metrics.metric_settings import MetricSettings
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome, run_stage

VERSION = 6
#: Names listed in a line of progress; the tables have all.
MOST_NAMED = 6


def measure_bias(
    run: RunContext,
    label_name: str,
    settings: MetricSettings,
    bias: BiasSettings = BiasSettings(),  # noqa: B008 - frozen
) -> Outcome:
    """Writes `store.bias_scores`, `store.coverage`, `store.association` and `store.bias_measures`.

    The scores are also added to `store.bias_history`.

    Parameters
    ----------
    run : RunContext
        With at least one attribute. Each, every two together and all of them are measured.
    """
    store, taxonomy, attributes = run.store, run.taxonomy, list(run.attributes)
    key = fingerprint(
        VERSION,
        label_name,
        attributes,
        discovery(store, attributes),
        settings.neighbors,
        bias.model_dump(),
        MEASURES.names(),
        taxonomy.describe(),
        [store.fingerprint(f"metric/{node}") for node in taxonomy.nodes],
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        index = image_index(store, attributes)
        train = index[index["split"] == "train"]
        measured = measured_attributes(attributes)
        scorers: dict[bytes, list[AttributeScorer]] = {}
        rows = []
        for number, node in enumerate(taxonomy.nodes, start=1):
            run.progress(f"bias_scores: {node} ({number}/{len(taxonomy.nodes)})")
            metric = load_node(store, node)
            # Nodes of one run share their folds; one trained earlier may have others.
            folds = metric.fold.tobytes()
            own = measured_images(index, metric)
            if folds not in scorers:
                scorers[folds] = [AttributeScorer(own, g, metric.fold, bias) for g in measured]
            rows += [
                {"node": node, "kind": taxonomy.kind(node), **row}
                for row in score_node(metric, own, scorers[folds], settings.neighbors)
            ]
        scores = rank_scores(pd.DataFrame(rows))
        groups = coverage(train, label_name, attributes, bias.resamples, bias.seed)
        links, measures = association(train, measured, bias.resamples, bias.permutations, bias.seed)
        outputs = [store.bias_scores, store.coverage, store.association, store.bias_measures]
        for contract, frame, path in zip(
            (BIAS_SCORES, COVERAGE, ASSOCIATION, BIAS_MEASURES),
            (scores, groups, links, measures),
            outputs,
            strict=True,
        ):
            contract.validate(frame, [c.name for c in contract.columns if c.name != "attributes"])
            with write_aside(path) as aside:
                pq.write_table(contract.table(frame), aside)
        content = store.summary("images")["content"]
        history = remember_scores(store, scores, label_name, content, key)
        outputs.append(store.bias_history)
        summary = _describe(scores, groups, links, train, measured)
        if history is not None:
            summary["notes"]["history"] = history
        run.progress(f"bias_scores: {summary['words']}")
        for line in summary["notes"].values():
            run.progress(f"bias_scores: {line}")
        return summary, outputs

    return run_stage(store, "bias_scores", key, compute, run.progress)


def score_node(
    metric: NodeMetric, index: pd.DataFrame, scorers: Sequence[AttributeScorer], neighbors: int
) -> list[dict[str, Any]]:
    """All measures of one node, for each attribute.

    Parameters
    ----------
    metric : NodeMetric
    index : DataFrame
        Column label, over the metric's images.
    scorers : sequence of AttributeScorer
        With the metric's folds.
    neighbors : int
        k of the label votes.

    Returns
    -------
    list of dict
        Columns of the `bias_scores` contract but node, kind, rank and q-values.
    """
    labels = np.unique(index["label"], return_inverse=True)[1]
    correct = out_of_fold_votes(metric, labels, neighbors).argmax(axis=1) == labels
    return [scorer.score(metric, correct) for scorer in scorers]


def _describe(
    scores: pd.DataFrame,
    groups: pd.DataFrame,
    links: pd.DataFrame,
    train: pd.DataFrame,
    measured: Sequence[Attribute],
) -> dict[str, Any]:
    leaves = scores[scores["kind"] == "leaf"]
    uncovered = groups.loc[groups["n"] == 0, "group"].tolist()
    summary: dict[str, Any] = {"empty_groups": len(uncovered), "uncovered": uncovered}
    words = []
    for attribute in (g for g in measured if len(g.columns) == 1):
        own = leaves[leaves["attribute"] == attribute.name]
        first = own.iloc[0]
        summary[f"top_leaf_{attribute.name}"] = str(first["node"])
        summary[f"top_score_{attribute.name}"] = float(first["score"])
        summary[f"missing_{attribute.name}"] = int((train[attribute.name] == MISSING).sum())
        words.append(
            f"{first['node']} is the most biased leaf for {attribute.name}, "
            f"score {first['score']:.2f} [{first['score_low']:.2f}, {first['score_high']:.2f}]"
            if first["score"] > 0
            else f"no leaf both encodes {attribute.name} and relies on it"
        )
    for link in links.to_dict("records"):
        if not pd.isna(link["cramers_v"]):
            summary[f"cramers_v_{link['attribute']}"] = float(link["cramers_v"])
    summary["scores"] = {
        f"{row.node} × {row.attribute}": round(float(row.score), 4)  # type: ignore[arg-type]
        for row in scores.itertuples()
    }
    return {**summary, "notes": _notes(links, uncovered), "words": "; ".join(words)}


def _notes(links: pd.DataFrame, uncovered: Sequence[str]) -> dict[str, str]:
    """Lines on what is missing or cannot be measured, by attribute."""
    notes = {}
    for link in links.to_dict("records"):
        lines = [link["note"]] if link["note"] else []
        if link["n_missing"]:
            total = link["n"] + link["n_missing"]
            lines.append(
                f"{link['n_missing']} of {total} train records have no value: they are kept and "
                "left out of this attribute's measures"
            )
        if lines:
            notes[link["attribute"]] = f"{link['attribute']}: " + "; ".join(lines)
    if uncovered:
        more = len(uncovered) - MOST_NAMED
        notes["uncovered"] = f"{len(uncovered)} groups have no train record: " + "; ".join(
            uncovered[:MOST_NAMED]
        ) + (f"; and {more} more" if more > 0 else "")  # fmt: skip
    return notes
