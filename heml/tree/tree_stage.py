"""Building the metric tree from trained nodes: thresholds, weights, and how well it classifies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from heml.images.groups import discovery, group_codes, known_attributes
from heml.images.images_table import image_index
from heml.metrics.artifacts import NodeMetric, load_node, measured_images
from heml.metrics.metric_settings import MetricSettings
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome, run_stage
from heml.taxonomy import Taxonomy
from heml.tree.metric_tree import Embedded, MetricTree
from heml.tree.pairs import Pairs, held_out_pairs
from heml.tree.similarity import (
    Calibration,
    calibrate,
    calibrate_node,
    fit_similarity,
    pair_weights,
)
from heml.tree.tree_error import TreeError

VERSION = 4
MAX_PAIRS = 60_000


def fit_tree(run: RunContext, settings: MetricSettings) -> Outcome:
    """Calibrates and joins all node metrics into `store.metric_tree`.

    Thresholds and weights come from cross-fitted pairs of the train split. The summary gives
    worst-group and average kNN accuracy on the test split, where there is one, for each node and
    both similarities.
    """
    store, taxonomy, attributes = run.store, run.taxonomy, list(run.attributes)
    key = fingerprint(
        VERSION,
        taxonomy.describe(),
        attributes,
        discovery(store, attributes),
        settings.neighbors,
        settings.seed,
        [store.fingerprint(f"metric/{node}") for node in taxonomy.nodes],
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        metrics = [load_node(store, node) for node in taxonomy.nodes]
        index = measured_images(image_index(store, attributes), metrics[0])
        classes = {int(k): name for k, name in store.summary("images")["classes"].items()}
        tree = build_tree(taxonomy, metrics, index, attributes, settings, classes)
        with write_aside(store.metric_tree) as folder:
            tree.save(folder)
        summary = _describe(tree, metrics, index, attributes)
        run.progress(f"metric_tree: {summary['words']}")
        return summary, [store.metric_tree]

    return run_stage(store, "metric_tree", key, compute, run.progress)


def build_tree(
    taxonomy: Taxonomy,
    metrics: list[NodeMetric],
    index: pd.DataFrame,
    attributes: Sequence[str],
    settings: MetricSettings,
    classes: Mapping[int, str] | None = None,
) -> MetricTree:
    """A tree from trained nodes.

    Parameters
    ----------
    metrics : list of NodeMetric
        In the order of `taxonomy.nodes`, over the images of `index`.
    index : DataFrame
        Columns image_id, split, label and the attributes.
    classes : mapping of int to str, optional
        Names of class ids in masks.

    Raises
    ------
    TreeError
        If a node was trained on other images.
    """
    for metric in metrics:
        if not np.array_equal(metric.index["image_id"], index["image_id"]):
            raise TreeError(
                f"node '{metric.node}' was trained on other images than the store has now: "
                f"run the stage metric/{metric.node} again"
            )
    groups, _ = group_codes(index, ["label", *attributes])
    labels = index["label"].to_numpy(str)
    pairs = held_out_pairs(metrics, labels, groups, MAX_PAIRS, settings.seed)
    same = labels[pairs.first] == labels[pairs.second]
    calibration = _calibration(taxonomy, pairs, same, settings.seed)
    thresholds = {node: found.threshold for node, found in calibration.items()}
    calibrated = np.stack(
        [
            calibrate(pairs.distance[:, place], thresholds[node])
            for place, node in enumerate(taxonomy.nodes)
        ],
        axis=1,
    )
    similarities = {
        which: fit_similarity(
            tuple(taxonomy.nodes),
            calibrated,
            pairs.one_absent,
            same,
            pair_weights(
                groups[pairs.first],
                groups[pairs.second],
                same,
                which == "debiased",
                pairs.stands_for,
            ),
        )
        for which in ("plain", "debiased")
    }
    train = np.flatnonzero(index["split"] == "train")
    everything = _embedded(metrics)
    return MetricTree(
        taxonomy,
        {m.node: m.report["resolution"] for m in metrics},
        thresholds,
        {m.node: m.network() for m in metrics if m.trained},
        similarities,
        everything.rows(train),
        [
            {str(name): str(value) for name, value in record.items()}
            for record in index.iloc[train][["image_id", "label", *attributes]].to_dict("records")
        ],
        settings.neighbors,
        classes,
        calibration,
    )


def _calibration(
    taxonomy: Taxonomy, pairs: Pairs, same: np.ndarray, seed: int
) -> dict[str, Calibration]:
    found = {}
    for place, node in enumerate(taxonomy.nodes):
        both = pairs.both[:, place]
        distance = pairs.distance[both, place]
        found[node] = calibrate_node(
            distance, pairs.first[both], pairs.second[both], same[both], seed=seed
        )
    return found


def _embedded(metrics: list[NodeMetric]) -> Embedded:
    return Embedded({m.node: m.embeddings for m in metrics}, {m.node: m.present for m in metrics})


def _describe(
    tree: MetricTree, metrics: list[NodeMetric], index: pd.DataFrame, attributes: Sequence[str]
) -> dict[str, Any]:
    weights = {
        which: {
            node: round(float(weight), 4)
            for node, weight in zip(similarity.nodes, similarity.distance, strict=True)
        }
        for which, similarity in tree.similarities.items()
    }
    summary: dict[str, Any] = {
        "nodes": len(metrics),
        "untrained": [m.node for m in metrics if not m.trained],
        "weights": weights,
        "thresholds": {node: round(value, 4) for node, value in tree.thresholds.items()},
        "equal_error_rates": {
            node: None if found.error_rate is None else round(found.error_rate, 4)
            for node, found in tree.calibration.items()
        },
    }
    top = max(weights["debiased"], key=lambda node: weights["debiased"][node])
    words = f"{len(metrics)} nodes, {top} weighs most in the debiased similarity"
    test = np.flatnonzero((index["split"] == "test") & known_attributes(index, attributes))
    if len(test):
        queries = _embedded(metrics).rows(test)
        truth = index["label"].to_numpy(str)[test]
        groups = group_codes(index.iloc[test], ["label", *attributes])
        for which in ("plain", "debiased"):
            correct = np.array(tree.classify(queries, which)) == truth
            summary |= _accuracies(correct, *groups, prefix=f"{which}_")
        summary["node_accuracy_test"] = {
            node: round(float(np.mean(np.array(tree.classify(queries, node=node)) == truth)), 4)
            for node in tree.taxonomy.nodes
        }
        words += (
            f"; worst-group accuracy on test {summary['debiased_worst_group_accuracy']:.2f} "
            f"debiased, {summary['plain_worst_group_accuracy']:.2f} plain"
        )
    return {**summary, "words": words}


def _accuracies(
    correct: np.ndarray, groups: np.ndarray, names: list[str], prefix: str
) -> dict[str, Any]:
    hits = np.bincount(groups, correct, len(names))
    counts = np.bincount(groups, minlength=len(names))
    worst = int(np.argmin(hits / counts))
    low, high = proportion_confint(hits[worst], counts[worst], method="wilson")
    return {
        f"{prefix}worst_group_accuracy": float(hits[worst] / counts[worst]),
        f"{prefix}worst_group_accuracy_low": float(low),
        f"{prefix}worst_group_accuracy_high": float(high),
        f"{prefix}worst_group": names[worst],
        f"{prefix}worst_group_n": int(counts[worst]),
        f"{prefix}average_accuracy": float(np.mean(hits / counts)),
    }
