"""Training all nodes of one tree level: views once, then every network of every node.

A node has one network trained on the whole train split and one per cross-fitting fold. They are
small, so they train side by side, one thread each: that is faster than sharing threads inside each
operation, and makes results independent of the number of cores.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from heml.images import decode_image, image_index, iterate_images
from heml.metrics.artifacts import NodeMetric, load_node, save_node
from heml.metrics.evaluation import evaluate
from heml.metrics.folds import assign_folds
from heml.metrics.network import combine
from heml.metrics.training import embed, train_network
from heml.metrics.views import ViewWriter, open_views
from heml.pace import Pace
from heml.progress import Progress
from heml.segmentation.masks import iterate_masks
from heml.settings import MetricSettings
from heml.stage import Outcome
from heml.store import Store, fingerprint, write_aside
from heml.taxonomy import Taxonomy
from heml.workers import worker_pool

VERSION = 2
#: A network needs this many images of each of two labels.
MINIMUM_PER_LABEL = 2


def stage_name(node: str) -> str:
    """Name of a node's stage in the store."""
    return f"metric/{node}"


def resolution_of(node: str, taxonomy: Taxonomy, settings: MetricSettings) -> int:
    """Side of a node's views in pixels."""
    by_kind = getattr(settings.resolution, taxonomy.kind(node))
    return int(settings.resolution.nodes.get(node, by_kind))


def node_fingerprint(
    store: Store, taxonomy: Taxonomy, node: str, groups: Sequence[str], settings: MetricSettings
) -> str:
    """Everything that a node's artifacts depend on: input, classes, settings, children, code."""
    children = [store.fingerprint(stage_name(child)) for child in taxonomy.children(node)]
    return fingerprint(
        VERSION,
        store.summary("images")["content"],
        store.summary("segments")["content"],
        list(groups),
        taxonomy.classes_of(node),
        resolution_of(node, taxonomy, settings),
        settings.model_dump(exclude={"resolution", "neighbours"}),
        children if settings.warm_start else [],
        torch.__version__,
    )


def train_level(
    store: Store,
    taxonomy: Taxonomy,
    nodes: Sequence[str],
    groups: Sequence[str],
    settings: MetricSettings,
    progress: Progress,
) -> Iterator[tuple[str, Outcome]]:
    """Trains the nodes of one level that are not finished, and yields each as it is.

    Parameters
    ----------
    nodes : sequence of str
        Nodes of one level; their children must be trained.
    groups : sequence of str
        Group columns: folds are stratified by label and groups.

    Yields
    ------
    node, Outcome
        Finished nodes first. A node's artifacts are complete in the store when it is yielded.
    """
    wanted: dict[str, str] = {}
    for node in nodes:
        key = node_fingerprint(store, taxonomy, node, groups, settings)
        summary = store.finished(stage_name(node), key)
        if summary is None and (store.node(node) / key).is_dir():
            # Trained earlier, before the recipe went another way and came back.
            summary = _remember(store, node, key)
        if summary is not None:
            progress(f"metric/{node}: unchanged, not trained again")
            yield node, Outcome(summary, reused=True)
        else:
            wanted[node] = key
    if not wanted:
        return
    index = image_index(store, list(groups))
    views = _write_views(store, taxonomy, wanted, settings, len(index), progress)
    strata = ["\x1f".join(row) for row in index[["label", *groups]].astype(str).to_numpy()]
    train = (index["split"] == "train").to_numpy()
    fold = np.full(len(index), -1, np.int8)
    fold[train] = assign_folds(np.array(strata)[train].tolist(), settings.folds, settings.seed)
    labels = np.unique(index["label"], return_inverse=True)[1]
    data = _LevelData(index, labels, train, fold)
    try:
        with worker_pool() as pool:
            jobs = {
                node: _NodeJob(store, taxonomy, node, views[node], data, settings, pool, progress)
                for node in wanted
            }
            for node, key in wanted.items():
                metric = jobs[node].result()
                with write_aside(store.node(node) / key) as aside:
                    save_node(metric, aside)
                summary = _remember(store, node, key)
                progress(f"metric/{node}: {_in_words(summary)}")
                yield node, Outcome(summary, reused=False)
    finally:
        for path in views.values():
            path.unlink(missing_ok=True)


def _remember(store: Store, node: str, key: str) -> dict[str, Any]:
    folder = store.node(node) / key
    summary = dict(json.loads((folder / "node.json").read_text()))
    store.finish(stage_name(node), key, summary, [folder])
    return summary


def _in_words(summary: dict[str, Any]) -> str:
    if summary["state"] != "trained":
        return f"not trained: {summary['state']}"
    return (
        f"precision at 1 {summary['precision_at_1']:.2f} out of fold, "
        f"loss {summary['loss_first']:.2f} → {summary['loss_last']:.2f}"
    )


def _write_views(
    store: Store,
    taxonomy: Taxonomy,
    nodes: dict[str, str],
    settings: MetricSettings,
    count: int,
    progress: Progress,
) -> dict[str, Path]:
    paths = {
        node: store.node(node) / f".{key}.{os.getpid()}.views.tmp" for node, key in nodes.items()
    }
    writer = ViewWriter(
        paths,
        {node: resolution_of(node, taxonomy, settings) for node in nodes},
        {node: taxonomy.classes_of(node) for node in nodes},
        count,
    )
    masks = iterate_masks(store)
    done, pace = 0, Pace(progress)

    def put(row: int, data: bytes, segments: dict[str, np.ndarray]) -> None:
        writer.put(row, decode_image(data), segments)

    with worker_pool() as pool:
        for batch in iterate_images(store, ["image_id", "image"]):
            images = batch.to_pylist()
            segments = [next(masks)[1] for _ in images]
            rows = range(done, done + len(images))
            list(pool.map(put, rows, [image["image"]["bytes"] for image in images], segments))
            done += len(images)
            pace.tell(f"metric: views of {len(nodes)} nodes, image {done}/{count}")
    writer.close()
    return paths


@dataclass(frozen=True)
class _LevelData:
    index: pd.DataFrame
    labels: np.ndarray
    train: np.ndarray
    fold: np.ndarray


class _NodeJob:
    """The networks of one node, as jobs of a pool."""

    def __init__(
        self,
        store: Store,
        taxonomy: Taxonomy,
        node: str,
        views: Path,
        data: _LevelData,
        settings: MetricSettings,
        pool: ThreadPoolExecutor,
        progress: Progress,
    ) -> None:
        self._node = node
        self._data = data
        self._settings = settings
        self._progress = progress
        self._views = open_views(views)
        self._present = self._views[:, 3].reshape(len(self._views), -1).any(axis=1)
        self._resolution = self._views.shape[-1]
        self._starts = self._children_weights(store, taxonomy)
        self._lock = threading.Lock()
        self._epochs = 0
        self._told = time.monotonic()
        self._networks = settings.folds + 1
        rows = [self._train_rows(network) for network in range(self._networks)]
        self._state = self._why_untrained(rows)
        self._futures: list[Future[tuple[dict[str, Tensor], np.ndarray, list[float]]]] = []
        if self._state == "trained":
            self._futures = [pool.submit(self._train, n, rows[n]) for n in range(self._networks)]

    def _children_weights(self, store: Store, taxonomy: Taxonomy) -> list[dict[str, Tensor]] | None:
        if not self._settings.warm_start:
            return None
        children = [load_node(store, child) for child in taxonomy.children(self._node)]
        trained = [child.weights for child in children if child.trained]
        if not trained:
            return None
        # Fold by fold: a branch's fold network must not inherit from one that saw the fold.
        return [combine(states) for states in zip(*trained, strict=True)]

    def _train_rows(self, network: int) -> np.ndarray:
        """Rows that a network may see: 0 is the final one, k + 1 leaves out fold k."""
        seen = self._data.train & self._present
        if network > 0:
            seen &= self._data.fold != network - 1
        return np.flatnonzero(seen)

    def _why_untrained(self, rows: list[np.ndarray]) -> str:
        for chosen in rows:
            counts = np.bincount(self._data.labels[chosen])
            if (counts >= MINIMUM_PER_LABEL).sum() < 2:
                return (
                    f"only {len(rows[0])} train images have it, too few of two labels in every fold"
                )
        return "trained"

    def _train(
        self, network: int, rows: np.ndarray
    ) -> tuple[dict[str, Tensor], np.ndarray, list[float]]:
        labels = self._data.labels[rows]
        keep = np.bincount(labels)[labels] >= MINIMUM_PER_LABEL
        model, curve = train_network(
            self._views,
            rows[keep],
            self._data.labels[rows[keep]],
            self._settings,
            None if self._starts is None else self._starts[network],
            seed=self._settings.seed + 1000 * network,
            on_epoch=self._tell,
        )
        embeddings = embed(model, self._views)
        embeddings[~self._present] = 0
        return dict(model.state_dict()), embeddings, curve

    def _tell(self, epoch: int, loss: float) -> None:
        with self._lock:
            self._epochs += 1
            if time.monotonic() - self._told < 2:
                return
            self._told = time.monotonic()
            total = self._networks * self._settings.epochs
            self._progress(
                f"metric/{self._node}: {self._resolution} px, epoch {self._epochs}/{total} "
                f"of {self._networks} networks, loss {loss:.3f}"
            )

    def result(self) -> NodeMetric:
        """Waits for the networks and evaluates them out of fold."""
        data = self._data
        index = pd.DataFrame(
            {
                "image_id": data.index["image_id"],
                "split": data.index["split"],
                "fold": data.fold,
                "present": self._present,
            }
        )
        report: dict[str, Any] = {
            "state": self._state,
            "resolution": self._resolution,
            "present_share": float(self._present.mean()),
            "train_images": len(self._train_rows(0)),
        }
        dimensions = self._settings.embedding
        if not self._futures:
            empty = np.zeros((len(index), dimensions), np.float32)
            crossed = np.zeros((self._settings.folds, len(index), dimensions), np.float32)
            return NodeMetric(self._node, index, empty, crossed, [], report)
        done = [future.result() for future in self._futures]
        crossed = np.stack([embeddings for _, embeddings, _ in done[1:]])
        curve = done[0][2]
        report |= {
            "learning_curve": curve,
            "loss_first": curve[0],
            "loss_last": curve[-1],
            "warm_start": self._starts is not None,
            **self._out_of_fold(crossed),
        }
        weights = [state for state, _, _ in done]
        return NodeMetric(self._node, index, done[0][1], crossed, weights, report)

    def _out_of_fold(self, crossed: np.ndarray) -> dict[str, float]:
        """Means over folds, weighted by the fold's size; queries are the fold's rows."""
        results, sizes = [], []
        for fold, embeddings in enumerate(crossed):
            usable = self._data.train & self._present
            queries = np.flatnonzero(usable & (self._data.fold == fold))
            references = np.flatnonzero(usable & (self._data.fold != fold))
            if len(queries) == 0:
                continue
            results.append(
                evaluate(
                    embeddings[queries],
                    self._data.labels[queries],
                    embeddings[references],
                    self._data.labels[references],
                )
            )
            sizes.append(len(queries))
        summary = {
            name: float(np.average([r[name] for r in results], weights=sizes))
            for name in results[0]
        }
        return {**summary, "evaluated": int(sum(sizes))}
