"""Training the networks of one node: the final one and one per cross-fitting fold."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from heml.compute.device import stream
from heml.compute.progress import Progress
from heml.metrics.artifacts import NodeMetric
from heml.metrics.distance import DISTANCES, Distance
from heml.metrics.evaluation import MOST_QUERIES, evaluate
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.network_training import TrainingDiverged, embed, train_network

#: A network needs this many images of each of two labels.
MINIMUM_PER_LABEL = 2
_TRAINED = "trained"


@dataclass(frozen=True)
class LevelData:
    """What all nodes of a level share.

    Parameters
    ----------
    index : DataFrame
        Columns image_id and split, and made_from where known; one row per measured image.
    labels : int array (N,)
        -1 where unknown.
    train : bool array (N,)
    fold : int array (N,)
        -1 outside the train split.
    """

    index: pd.DataFrame
    labels: np.ndarray
    train: np.ndarray
    fold: np.ndarray


@dataclass(frozen=True)
class _Trained:
    weights: dict[str, Tensor]
    architecture: dict[str, Any]
    embeddings: np.ndarray
    curve: list[float]


def enough(labels: np.ndarray) -> bool:
    """Whether a network can learn from images of these labels (-1: unknown)."""
    counts = np.bincount(labels[labels >= 0])
    return bool((counts >= MINIMUM_PER_LABEL).sum() >= 2)


def present_in(views: np.ndarray) -> np.ndarray:
    """Which images have the node, bool (N,), from its views, read part by part."""
    present = np.zeros(len(views), bool)
    for start in range(0, len(views), 1024):
        part = slice(start, start + 1024)
        present[part] = views[part, 3].any(axis=(1, 2))
    return present


class NodeTraining:
    """The networks of one node, as jobs of a pool.

    Parameters
    ----------
    node : str
    views : uint8 array (N, 4, R, R)
        May be memory-mapped.
    data : LevelData
    settings : MetricSettings
    starts : list of dict of Tensor, optional
        Initial weights of the final network and of each fold's.
    device : torch.device
    pool : ThreadPoolExecutor
        The jobs are queued at once.
    progress : Progress
    """

    def __init__(
        self,
        node: str,
        views: np.ndarray,
        data: LevelData,
        settings: MetricSettings,
        starts: list[dict[str, Tensor]] | None,
        device: torch.device,
        pool: ThreadPoolExecutor,
        progress: Progress,
    ) -> None:
        self._node = node
        self._data = data
        self._settings = settings
        self._progress = progress
        self._device = device
        self._views = views
        self._present = present_in(views)
        self._resolution = views.shape[-1]
        self._starts = starts
        self._lock = threading.Lock()
        self._epochs = 0
        self._reported = time.monotonic()
        self._networks = settings.folds + 1
        rows = [self._train_rows(network) for network in range(self._networks)]
        self._learned_from = len(self._learnable(rows[0]))
        self._state = self._why_untrained(rows)
        self._futures: list[Future[_Trained]] = []
        if self._state == _TRAINED:
            self._futures = [pool.submit(self._train, n, rows[n]) for n in range(self._networks)]

    def _train_rows(self, network: int) -> np.ndarray:
        """Rows that a network may see: 0 is the final one, k + 1 leaves out fold k."""
        seen = self._data.train & self._present & (self._data.labels >= 0)
        if network > 0:
            seen &= self._data.fold != network - 1
        return np.flatnonzero(seen)

    def _learnable(self, rows: np.ndarray) -> np.ndarray:
        """Rows whose label has enough images to learn from."""
        labels = self._data.labels[rows]
        return rows[np.bincount(labels)[labels] >= MINIMUM_PER_LABEL] if len(rows) else rows

    def _why_untrained(self, rows: list[np.ndarray]) -> str:
        if not self._present.any():
            return "no image has it"
        if not all(enough(self._data.labels[chosen]) for chosen in rows):
            return f"only {len(rows[0])} train images have it, too few of two labels in every fold"
        return _TRAINED

    def _train(self, network: int, rows: np.ndarray) -> _Trained:
        rows = self._learnable(rows)
        with stream(self._device):
            model, curve = train_network(
                self._views,
                rows,
                self._data.labels[rows],
                self._settings,
                None if self._starts is None else self._starts[network],
                seed=self._settings.seed + 1000 * network,
                on_epoch=self._report_epoch,
                device=self._device,
            )
            embeddings = embed(model, self._views)
        if not np.isfinite(embeddings).all():
            raise TrainingDiverged("embeddings are not finite")
        embeddings[~self._present] = 0
        weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
        return _Trained(weights, model.architecture, embeddings, curve)

    def _report_epoch(self, epoch: int, loss: float) -> None:
        with self._lock:
            self._epochs += 1
            if time.monotonic() - self._reported < 2:
                return
            self._reported = time.monotonic()
            total = self._networks * self._settings.epochs
            self._progress(
                f"metric/{self._node}: {self._resolution} px, epoch {self._epochs}/{total} "
                f"of {self._networks} networks, loss {loss:.3f}"
            )

    def result(self) -> NodeMetric:
        """Waits for the networks and evaluates them out of fold."""
        data = self._data
        index = metric_index(data, self._present)
        report: dict[str, Any] = {
            "state": self._state,
            "distance": self._settings.distance,
            "resolution": self._resolution,
            "present_share": float(self._present.mean()),
            "train_images": self._learned_from if self._state == _TRAINED else 0,
        }
        try:
            done = [future.result() for future in self._futures]
        except TrainingDiverged as error:
            done = []
            report["state"] = f"training diverged: {error}; try a lower metric.learning_rate"
        if not done:
            shape = (self._settings.folds, len(index), self._settings.embedding)
            empty = np.zeros(shape, np.float32)
            return NodeMetric(self._node, index, empty[0].copy(), empty, [], report)
        crossed = np.stack([network.embeddings for network in done[1:]])
        curve = done[0].curve
        report |= {
            "learning_curve": curve,
            "learning_curves_of_folds": [network.curve for network in done[1:]],
            "loss_first": curve[0],
            "loss_last": curve[-1],
            "warm_start": self._starts is not None,
            "device": self._device.type,
            **out_of_fold(crossed, self._present, data, DISTANCES[self._settings.distance]),
        }
        return NodeMetric(
            self._node,
            index,
            done[0].embeddings,
            crossed,
            [network.weights for network in done],
            report,
            done[0].architecture,
        )


def metric_index(data: LevelData, present: np.ndarray) -> pd.DataFrame:
    """The index of a `NodeMetric`.

    Parameters
    ----------
    data : LevelData
    present : bool array (N,)
        Whether each image has the node.
    """
    columns = ["image_id", "split", *(["made_from"] if "made_from" in data.index else [])]
    return data.index[columns].assign(fold=data.fold, present=present)


def out_of_fold(
    crossed: np.ndarray, present: np.ndarray, data: LevelData, distance: Distance
) -> dict[str, float]:
    """Retrieval by networks that never saw the queries, which are each fold's train rows.

    Parameters
    ----------
    crossed : float32 array (K, N, D)
    present : bool array (N,)
    data : LevelData
    distance : Distance
        What the networks were trained with.

    Returns
    -------
    dict
        `evaluated` queries, and if there are any means over folds, weighted by the fold's size.
    """
    results, sizes = [], []
    for fold, embeddings in enumerate(crossed):
        usable = data.train & present & (data.labels >= 0)
        queries = np.flatnonzero(usable & (data.fold == fold))
        references = np.flatnonzero(usable & (data.fold >= 0) & (data.fold != fold))
        # A label of which no reference is left cannot be found.
        queries = queries[np.isin(data.labels[queries], data.labels[references])]
        if len(queries) == 0:
            continue
        results.append(
            evaluate(
                embeddings[queries],
                data.labels[queries],
                embeddings[references],
                data.labels[references],
                distance,
            )
        )
        sizes.append(min(len(queries), MOST_QUERIES))
    if not sizes:
        return {"evaluated": 0}
    summary = {}
    for name in {name: None for result in results for name in result}:
        having = [(r[name], size) for r, size in zip(results, sizes, strict=True) if name in r]
        values, weights = zip(*having, strict=True)
        summary[name] = float(np.average(values, weights=weights))
    return {**summary, "evaluated": int(sum(sizes))}
