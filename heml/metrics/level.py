"""Training all nodes of one tree level: views once, then every network of every node.

A node has one network trained on the whole train split and one per cross-fitting fold. They are
small, so they train side by side, one thread each: that is faster than sharing threads inside each
operation, and makes results independent of the number of cores and of which other nodes train.
`benchmarks/level_training.py` compares it with one network of grouped convolutions and with stacked
parameters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heml.compute.device import choose_device
from heml.compute.progress import Progress
from heml.compute.threads import worker_pool
from heml.compute.throttled_progress import ThrottledProgress
from heml.images.images_table import decode_image, iterate_images
from heml.metrics.artifacts import NodeMetric, load_node, node_folder, read_node, save_node
from heml.metrics.growth import Grown, drifted, extend, grown_node
from heml.metrics.identity import (
    content_of,
    how_trained,
    key_of,
    last_made,
    last_whole,
    resolution_of,
    stage_name,
    trained_as,
)
from heml.metrics.level_data import OTHERS, Rows, read_rows, sampling
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.node_network import combine
from heml.metrics.node_training import NodeTraining
from heml.metrics.unsampled import embed_others
from heml.metrics.views import ViewWriter, open_views
from heml.segmentation.masks import iterate_masks
from heml.storage.atomic_write import is_abandoned, owner, write_aside
from heml.storage.stage import Outcome, at_stage
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

#: Pixels per image that the networks of a level together may hold in memory while they train. One
#: network on whole images of 224 px, as metrics are trained elsewhere, holds 50 176; a level stays
#: below a third of that, however many processors there are.
_PIXELS = 14_000
#: What a network holds besides, counted in such pixels: weights, optimizer, triplets.
_FIXED = 400


class LevelError(ValueError):
    """A level cannot be trained on what the store holds; the message says what to do."""


def networks_at_once(side: int, settings: MetricSettings, device: torch.device) -> int:
    """How many networks train side by side, if there are as many processors.

    Parameters
    ----------
    side : int
        Of the largest views of the level, in pixels.
    """
    if device.type == "mps":
        return 1  # Metal ends a process in which two threads use it
    return settings.parallel or max(_PIXELS // (side * side + _FIXED), 1)


def train_level(
    store: Store,
    taxonomy: Taxonomy,
    nodes: Sequence[str],
    attributes: Sequence[str],
    settings: MetricSettings,
    progress: Progress,
) -> Iterator[tuple[str, Outcome]]:
    """Trains the nodes of one level that are not finished, and yields each as it is.

    Parameters
    ----------
    nodes : sequence of str
        Nodes of one level; their children must be trained.
    attributes : sequence of str
        Attributes: folds are stratified by label and attributes.

    Yields
    ------
    node, Outcome
        Finished nodes first. A node's artifacts are complete in the store when it is yielded. A
        node that cannot be trained is finished too: its summary's `state` says why.

    Raises
    ------
    LevelError
        If the segments are of other classes than the taxonomy's, or a child is untrained or was
        trained under other settings.
    TooFewLabels
        If no node could be trained: two label values with two train images each are needed.
    CheckpointError
        If the trunk's checkpoint cannot be used.
    """
    _refuse_other_classes(store, taxonomy)
    _remove_abandoned_views(store, nodes)
    for node in nodes if settings.warm_start else ():
        _refuse_stale_children(store, taxonomy, node, attributes, settings)
    level = _Level(store, taxonomy, attributes, settings, progress)
    with ExitStack() as stack:
        for node in sorted(nodes):
            stack.enter_context(at_stage(store, stage_name(node), progress))
        wanted = []
        for node in nodes:
            summary = level.finished(node)
            if summary is None:
                wanted.append(node)
            else:
                progress(f"metric/{node}: unchanged, not trained again")
                yield node, Outcome(summary, reused=True)
        if wanted:
            yield from level.bring_up_to_date(wanted)


class _Level:
    """Some nodes of one level, on the images of today."""

    def __init__(
        self,
        store: Store,
        taxonomy: Taxonomy,
        attributes: Sequence[str],
        settings: MetricSettings,
        progress: Progress,
    ) -> None:
        self._store, self._taxonomy, self._attributes = store, taxonomy, list(attributes)
        self._settings, self._progress = settings, progress
        self._content = content_of(store)

    def _how(self, node: str) -> str:
        return how_trained(self._store, self._taxonomy, node, self._attributes, self._settings)

    def finished(self, node: str) -> dict[str, Any] | None:
        """The summary of a node that is up to date."""
        made = last_made(self._store, node)
        if made is None or made["content"] != self._content or made["how"] != self._how(node):
            return None
        if self._settings.retrain == "always" and made["trained_on"] != self._content:
            return None
        return last_whole(self._store, node)

    def bring_up_to_date(self, nodes: Sequence[str]) -> Iterator[tuple[str, Outcome]]:
        """Extends what can be kept, trains the rest, and yields each node when it is whole."""
        rows = read_rows(self._store, self._taxonomy, self._attributes, self._settings)
        waiting: list[_Ready] = []
        for ready in self._ready(nodes, rows):
            if rows.measured.all() or (ready.folder / OTHERS).exists():
                yield ready.metric.node, self._finish(ready)
            else:
                waiting.append(ready)
        if not waiting:
            return
        embed_others(
            self._store,
            self._taxonomy,
            {ready.metric.node: ready.metric for ready in waiting},
            {ready.metric.node: ready.folder for ready in waiting},
            {ready.metric.node: ready.earlier for ready in waiting if ready.earlier},
            rows,
            self._settings,
            self._progress,
        )
        for ready in waiting:
            yield ready.metric.node, self._finish(ready)

    def _ready(self, nodes: Sequence[str], rows: Rows) -> Iterator[_Ready]:
        """Nodes whose sample is embedded and stored: grown ones, then trained ones."""
        to_train: list[str] = []
        made = {node: last_made(self._store, node) for node in nodes}
        for node, metric in self._extended(made, rows):
            before = made[node]
            if metric is None or before is None or drifted(metric, self._settings):
                to_train.append(node)
                continue
            earlier = node_folder(self._store, node)
            now = {**before, "content": self._content, "folds": rows.folds}
            yield self._saved(metric, now, earlier)
        missing = []
        for node in to_train:
            key = trained_as(self._how(node), self._content, rows.folds)
            if (self._store.node(node) / key).is_dir():
                # Trained before the recipe went another way and came back, or before a fault.
                metric = read_node(self._store.node(node) / key, node)
                yield _Ready(metric, self._store.node(node) / key, None, reused=True)
            else:
                missing.append(node)
        for metric in self._trained(missing, rows):
            how = self._how(metric.node)
            now = {
                "how": how,
                "trained_as": trained_as(how, self._content, rows.folds),
                "trained_on": self._content,
                "trained_of": rows.train_images,
                "content": self._content,
                "sampling": sampling(self._attributes, self._settings),
                "folds": rows.folds,
            }
            yield self._saved(metric, now, None)

    def _saved(self, metric: NodeMetric, made: dict[str, Any], earlier: Path | None) -> _Ready:
        metric.report["made"] = made
        key = key_of(made["trained_as"], made["trained_on"], made["content"])
        folder = self._store.node(metric.node) / key
        with write_aside(folder) as aside:
            save_node(metric, aside)
        return _Ready(metric, folder, earlier, reused=False)

    def _finish(self, ready: _Ready) -> Outcome:
        metric, folder = ready.metric, ready.folder
        summary = dict(json.loads((folder / "node.json").read_text()))
        self._store.finish(stage_name(metric.node), folder.name, summary, [folder])
        kept = "unchanged, not trained again"
        self._progress(f"metric/{metric.node}: {kept if ready.reused else _in_words(summary)}")
        return Outcome(summary, reused=ready.reused)

    def _extended(
        self, made: Mapping[str, dict[str, Any] | None], rows: Rows
    ) -> Iterator[tuple[str, NodeMetric | None]]:
        """Every node on today's images with the weights it has; None if it has none to keep."""
        grown: dict[str, Grown] = {}
        for node, before in made.items():
            found = self._grown(node, before, rows)
            if found is None:
                yield node, None
            else:
                grown[node] = found
        if not grown:
            return
        new = np.logical_or.reduce([each.new for each in grown.values()])
        device = choose_device(self._settings.device)
        with self._views(list(grown), rows, new) as views:
            for node, each in grown.items():
                own = open_views(views[node])[each.new[new]] if new.any() else _no_views(
                    resolution_of(node, self._taxonomy, self._settings)
                )  # fmt: skip
                yield node, extend(each, own, rows.data, self._settings, device)

    def _grown(self, node: str, made: dict[str, Any] | None, rows: Rows) -> Grown | None:
        settings = self._settings
        if made is None or settings.retrain == "always" or made["how"] != self._how(node):
            return None
        if last_whole(self._store, node) is None:
            return None
        return grown_node(self._store, node, made["trained_of"], rows, settings)

    def _trained(self, nodes: Sequence[str], rows: Rows) -> Iterator[NodeMetric]:
        if not nodes:
            return
        device = choose_device(self._settings.device)
        everything = np.ones(len(rows.data.index), bool)
        sides = [resolution_of(node, self._taxonomy, self._settings) for node in nodes]
        at_once = networks_at_once(max(sides), self._settings, device)
        with self._views(nodes, rows, everything) as views, worker_pool(at_once) as pool:
            jobs = {
                node: NodeTraining(
                    node,
                    open_views(views[node]),
                    rows.data,
                    self._settings,
                    _starts(self._store, self._taxonomy, node, self._settings),
                    device,
                    pool,
                    self._progress,
                )
                for node in nodes
            }
            for node in nodes:
                yield jobs[node].result()
                views[node].unlink()

    @contextmanager
    def _views(
        self, nodes: Sequence[str], rows: Rows, chosen: np.ndarray
    ) -> Iterator[dict[str, Path]]:
        """Views of some of the measured images, in files that are removed afterwards.

        Parameters
        ----------
        chosen : bool array (measured images,)
        """
        name = f".{self._content}-views.{owner()}.tmp"
        paths = {node: self._store.node(node) / name for node in nodes}
        wanted = rows.measured.copy()
        wanted[rows.measured] = chosen
        try:
            if wanted.any():
                write_views(
                    self._store, self._taxonomy, paths, self._settings, len(wanted),
                    self._progress, wanted,
                )  # fmt: skip
            yield paths
        finally:
            for path in paths.values():
                path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Ready:
    """A node whose sample is embedded and stored."""

    metric: NodeMetric
    folder: Path
    earlier: Path | None
    reused: bool


def _no_views(side: int) -> np.ndarray:
    return np.zeros((0, 4, side, side), np.uint8)


def _remove_abandoned_views(store: Store, nodes: Sequence[str]) -> None:
    for node in nodes:
        for path in store.node(node).glob(".*-views.*.tmp"):
            if is_abandoned(path):
                path.unlink(missing_ok=True)


def _refuse_other_classes(store: Store, taxonomy: Taxonomy) -> None:
    found = sorted(name for name, share in store.summary("segments")["presence"].items() if share)
    if not set(found) & set(taxonomy.class_names):
        raise LevelError(
            f"{store.root}: no segment is of a class of the taxonomy '{taxonomy.name}'; the store "
            f"holds {', '.join(found[:10]) or 'no segments'}: use their taxonomy, or another store"
        )


def _refuse_stale_children(
    store: Store, taxonomy: Taxonomy, node: str, attributes: Sequence[str], settings: MetricSettings
) -> None:
    for child in taxonomy.children(node):
        made = last_made(store, child)
        try:
            stale = made is None or (
                (made["how"], made["content"])
                != (how_trained(store, taxonomy, child, attributes, settings), content_of(store))
            )
        except FileNotFoundError:
            stale = True
        if stale:
            raise LevelError(
                f"metric/{node} starts from metric/{child}, which is not trained under these "
                f"settings and this taxonomy: train metric/{child} first"
            )


def _starts(
    store: Store, taxonomy: Taxonomy, node: str, settings: MetricSettings
) -> list[dict[str, torch.Tensor]] | None:
    """Initial weights of the final network and of each fold's, from the children's."""
    if not settings.warm_start:
        return None
    children = [load_node(store, child) for child in taxonomy.children(node)]
    trained = [child.weights for child in children if child.trained]
    # Fold by fold: a branch's fold network must not inherit from one that saw the fold.
    return [combine(states) for states in zip(*trained, strict=True)] or None


def _in_words(summary: dict[str, Any]) -> str:
    if summary["state"] != "trained":
        return f"not trained: {summary['state']}"
    if summary.get("new_images"):
        drift = summary["drift"]
        return f"{summary['new_images']} new images embedded, " + (
            "drift not known" if drift is None else f"drift {drift:.2f}"
        )
    if not summary["evaluated"]:
        return "trained; no two images of a label in different folds to evaluate it on"
    return (
        f"precision at 1 {summary['precision_at_1']:.2f} out of fold, "
        f"loss {summary['loss_first']:.2f} → {summary['loss_last']:.2f}"
    )


def write_views(
    store: Store,
    taxonomy: Taxonomy,
    paths: Mapping[str, Path],
    settings: MetricSettings,
    count: int,
    progress: Progress,
    wanted: np.ndarray | None = None,
) -> None:
    """Writes the views of some nodes, in one pass over all images.

    Parameters
    ----------
    paths : mapping of node to pathlib.Path
        Where to; `open_views` reads them.
    count : int
        Number of images.
    wanted : bool array (count,), optional
        Images that get a view, one after the other; all by default.
    """
    place = np.arange(count) if wanted is None else np.cumsum(wanted) - 1
    writer = ViewWriter(
        paths,
        {node: resolution_of(node, taxonomy, settings) for node in paths},
        {node: taxonomy.classes_of(node) for node in paths},
        count if wanted is None else int(wanted.sum()),
    )
    masks = iterate_masks(store, wanted)
    done, throttled = 0, ThrottledProgress(progress)

    def put(row: int, data: bytes, segments: dict[str, np.ndarray]) -> None:
        writer.put(row, decode_image(data), segments)

    with worker_pool() as pool:
        for batch in iterate_images(store, ["image_id", "image"]):
            images = batch.to_pylist()
            segments = [next(masks)[1] for _ in images]
            rows = range(done, done + len(images))
            chosen = [i for i, row in enumerate(rows) if wanted is None or wanted[row]]
            list(
                pool.map(
                    put,
                    [int(place[rows[i]]) for i in chosen],
                    [images[i]["image"]["bytes"] for i in chosen],
                    [segments[i] for i in chosen],
                )
            )
            done += len(images)
            throttled.tell(f"metric: views of {len(paths)} nodes, image {done}/{count}")
    writer.close()
