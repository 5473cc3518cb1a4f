"""Bringing nodes of one level up to date: extended to new images where their weights still fit,
trained where not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heml.compute.device import choose_device
from heml.compute.threads import worker_pool
from heml.metrics.artifacts import NodeMetric, load_node, node_folder, read_node, save_node
from heml.metrics.growth import Grown, drifted, extend, grown_node
from heml.metrics.identity import content_of, resolution_of, training_identity
from heml.metrics.level_data import UNSAMPLED, Rows, read_rows, sampling
from heml.metrics.lineage import (
    LINEAGE,
    Lineage,
    complete_summary,
    last_lineage,
    stage_name,
    weights_name,
)
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.node_network import combine
from heml.metrics.node_training import NodeTraining
from heml.metrics.node_views import NodeViews, discard_views
from heml.metrics.parallelism import networks_at_once
from heml.metrics.unsampled import embed_unsampled
from heml.storage.atomic_write import write_aside
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome


class LevelUpdate:
    """Some nodes of one level, on the images as they are now.

    Parameters
    ----------
    run : RunContext
    settings : MetricSettings
    later : sequence of str
        Nodes of higher levels that will be brought up to date after these.
    """

    def __init__(self, run: RunContext, settings: MetricSettings, later: Sequence[str]) -> None:
        self._run, self._store, self._taxonomy = run, run.store, run.taxonomy
        self._settings, self._later = settings, later
        self._content = content_of(run.store)

    def _training(self, node: str) -> str:
        return training_identity(self._run, node, self._settings)

    def finished(self, node: str) -> dict[str, Any] | None:
        """The summary of a node that is up to date."""
        lineage = last_lineage(self._store, node)
        if lineage is None or lineage.applied_to != self._content:
            return None
        if lineage.training != self._training(node):
            return None
        if self._settings.retrain == "always" and lineage.trained_on != self._content:
            return None
        return complete_summary(self._store, node)

    def run(self, nodes: Sequence[str]) -> Iterator[tuple[str, Outcome]]:
        """Extends what can be kept, trains the rest, and yields each node when it is complete."""
        rows = read_rows(self._run, self._settings)
        waiting: list[_Ready] = []
        for ready in self._ready(nodes, rows):
            if rows.measured.all() or (ready.folder / UNSAMPLED).exists():
                yield ready.metric.node, self._finish(ready)
            else:
                waiting.append(ready)
        if not waiting:
            return
        embed_unsampled(
            self._run,
            {ready.metric.node: ready.metric for ready in waiting},
            {ready.metric.node: ready.folder for ready in waiting},
            {ready.metric.node: ready.earlier for ready in waiting if ready.earlier},
            rows,
            self._settings,
        )
        for ready in waiting:
            yield ready.metric.node, self._finish(ready)

    def _ready(self, nodes: Sequence[str], rows: Rows) -> Iterator[_Ready]:
        """Nodes whose sample is embedded and stored: grown ones, then trained ones."""
        to_train: list[str] = []
        lineages = {node: last_lineage(self._store, node) for node in nodes}
        for node, metric in self._extended(lineages, rows):
            before = lineages[node]
            if metric is None or before is None or drifted(metric, self._settings):
                to_train.append(node)
                continue
            earlier = node_folder(self._store, node)
            now = replace(before, applied_to=self._content, folds=rows.folds)
            yield self._saved(metric, now, earlier)
        missing = []
        for node in to_train:
            folder = self._store.node(node) / self._new_lineage(node, rows).artifacts
            if folder.is_dir():
                # Trained before the recipe went another way and came back, or before a fault.
                yield _Ready(read_node(folder, node), folder, None, reused=True)
            else:
                missing.append(node)
        for metric in self._trained(missing, rows):
            yield self._saved(metric, self._new_lineage(metric.node, rows), None)

    def _new_lineage(self, node: str, rows: Rows) -> Lineage:
        """Of the node as it would be trained now."""
        training = self._training(node)
        return Lineage(
            training=training,
            weights=weights_name(training, self._content, rows.folds),
            trained_on=self._content,
            train_images=rows.train_images,
            applied_to=self._content,
            sampling=sampling(self._run.attributes, self._settings),
            folds=rows.folds,
        )

    def _saved(self, metric: NodeMetric, lineage: Lineage, earlier: Path | None) -> _Ready:
        metric.report[LINEAGE] = lineage.to_dict()
        folder = self._store.node(metric.node) / lineage.artifacts
        with write_aside(folder) as aside:
            save_node(metric, aside)
        return _Ready(metric, folder, earlier, reused=False)

    def _finish(self, ready: _Ready) -> Outcome:
        metric, folder = ready.metric, ready.folder
        summary = dict(json.loads((folder / "node.json").read_text()))
        self._store.finish(stage_name(metric.node), folder.name, summary, [folder])
        discard_views(self._store, metric.node)
        kept = "unchanged, not trained again"
        words = kept if ready.reused else _in_words(summary)
        self._run.progress(f"metric/{metric.node}: {words}")
        return Outcome(summary, reused=ready.reused)

    def _extended(
        self, lineages: Mapping[str, Lineage | None], rows: Rows
    ) -> Iterator[tuple[str, NodeMetric | None]]:
        """Every node on today's images with the weights it has; None if it has none to keep."""
        grown: dict[str, Grown] = {}
        for node, before in lineages.items():
            found = self._grown(node, before, rows)
            if found is None:
                yield node, None
            else:
                grown[node] = found
        if not grown:
            return
        new = np.logical_or.reduce([each.new for each in grown.values()])
        device = choose_device(self._settings.device)
        views = {}
        if new.any():
            later = [node for node in self._later if last_lineage(self._store, node) is not None]
            views = self._views(rows, new).open(list(grown), later)
        for node, each in grown.items():
            own = views[node][each.new[new]] if new.any() else self._no_views(node)
            yield node, extend(each, own, rows.data, self._settings, device)

    def _grown(self, node: str, lineage: Lineage | None, rows: Rows) -> Grown | None:
        if lineage is None or self._settings.retrain == "always":
            return None
        if lineage.training != self._training(node):
            return None
        if complete_summary(self._store, node) is None:
            return None
        return grown_node(self._store, node, lineage.train_images, rows, self._settings)

    def _trained(self, nodes: Sequence[str], rows: Rows) -> Iterator[NodeMetric]:
        if not nodes:
            return
        device = choose_device(self._settings.device)
        everything = np.ones(len(rows.data.index), bool)
        sides = [resolution_of(node, self._taxonomy, self._settings) for node in nodes]
        at_once = networks_at_once(max(sides), self._settings, device)
        views = self._views(rows, everything).open(nodes, self._trained_later(nodes))
        with worker_pool(at_once) as pool:
            jobs = {
                node: NodeTraining(
                    node,
                    views[node],
                    rows.data,
                    self._settings,
                    self._starts(node),
                    device,
                    pool,
                    self._run.progress,
                )
                for node in nodes
            }
            for node in nodes:
                yield jobs[node].result()

    def _trained_later(self, nodes: Sequence[str]) -> list[str]:
        """Later nodes that will be trained, as far as can be told before their children are."""
        found: list[str] = []
        for node in self._later:
            children = set(self._taxonomy.children(node)) if self._settings.warm_start else set()
            if children & {*nodes, *found} or self._unfinished(node):
                found.append(node)
        return found

    def _unfinished(self, node: str) -> bool:
        try:
            return self.finished(node) is None
        except FileNotFoundError:
            return True

    def _views(self, rows: Rows, chosen: np.ndarray) -> NodeViews:
        """Views of some of the measured images, chosen by a bool array (measured,)."""
        wanted = rows.measured.copy()
        wanted[rows.measured] = chosen
        return NodeViews(self._run, self._settings, wanted)

    def _no_views(self, node: str) -> np.ndarray:
        side = resolution_of(node, self._taxonomy, self._settings)
        return np.zeros((0, 4, side, side), np.uint8)

    def _starts(self, node: str) -> list[dict[str, torch.Tensor]] | None:
        """Initial weights of the final network and of each fold's, from the children's."""
        if not self._settings.warm_start:
            return None
        children = [load_node(self._store, child) for child in self._taxonomy.children(node)]
        trained = [child.weights for child in children if child.trained]
        # Fold by fold: a branch's fold network must not inherit from one that saw the fold.
        return [combine(states) for states in zip(*trained, strict=True)] or None


@dataclass(frozen=True)
class _Ready:
    """A node whose sample is embedded and stored."""

    metric: NodeMetric
    folder: Path
    earlier: Path | None
    reused: bool


def _in_words(summary: dict[str, Any]) -> str:
    if summary["state"] != "trained":
        return f"not trained: {summary['state']}"
    if summary.get("new_images"):
        drift = summary["drift"]
        return f"{summary['new_images']} new images embedded, " + (
            "drift unknown" if drift is None else f"drift {drift:.2f}"
        )
    if not summary["evaluated"]:
        return "trained; no two images of a label in different folds to evaluate it on"
    return (
        f"precision at 1 {summary['precision_at_1']:.2f} out of fold, "
        f"loss {summary['loss_first']:.2f} → {summary['loss_last']:.2f}"
    )
