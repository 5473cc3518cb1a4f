"""The biased tasks of a benchmark, and training trees on them through heml's own functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from benchmarks.clock import Took, clock
from heml.compute.device import choose_device
from heml.compute.progress import Progress
from heml.compute.threads import worker_pool
from heml.images.images_table import image_index
from heml.metrics.identity import resolution_of
from heml.metrics.level import train_levels
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.network_training import embed, train_network
from heml.metrics.node_network import combine
from heml.metrics.node_training import present_in
from heml.metrics.node_views import write_views
from heml.metrics.parallelism import networks_at_once
from heml.metrics.views import open_views
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layouts.folder import FolderSource
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy, builtin


@dataclass(frozen=True)
class Task:
    """One biased training set with a balanced test set.

    Parameters
    ----------
    name : str
    root : pathlib.Path
        Folder of the dataset.
    metadata : str
        CSV, relative to root; splits `train` and `test`.
    label, attribute : str
        Columns.
    taxonomy : str
        A built-in one.
    """

    name: str
    root: Path
    metadata: str
    label: str
    attribute: str
    taxonomy: str

    @property
    def tree(self) -> Taxonomy:
        return builtin(self.taxonomy)


@dataclass(frozen=True)
class Records:
    """What all methods of a comparison share.

    Parameters
    ----------
    index : DataFrame
        Columns image_id, split, label and the attribute.
    labels : int array (N,)
    groups : list of str, length N
    train, test : int arrays
        Rows.
    """

    index: pd.DataFrame
    labels: np.ndarray
    groups: list[str]
    train: np.ndarray
    test: np.ndarray


def prepared(task: Task, folder: Path, progress: Progress) -> Store:
    """The task's store, its images and segments read; kept from an earlier run."""
    store = Store(folder)
    source = FolderSource(
        kind="folder",
        root=str(task.root.resolve()),
        metadata=task.metadata,
        label=task.label,
        attributes=[task.attribute],
    )
    ingest(store, source, folder, task.tree, True, progress)
    segment(RunContext(store, task.tree, progress=progress), AnnotatedSegmentation())
    return store


def records(store: Store, task: Task) -> Records:
    """Labels, groups and splits of a store's images."""
    index = image_index(store, [task.attribute])
    split = index["split"].to_numpy()
    return Records(
        index,
        np.unique(index["label"], return_inverse=True)[1].astype(np.int64),
        (index["label"] + " · " + index[task.attribute]).tolist(),
        np.flatnonzero(split == "train"),
        np.flatnonzero(split == "test"),
    )


def train_tree(store: Store, task: Task, settings: MetricSettings, progress: Progress) -> Took:
    """Trains every level, cross-fitting included; how long that took, views included."""
    with clock() as took:
        run = RunContext(store, task.tree, (task.attribute,), progress)
        for _, outcome in train_levels(run, settings):
            if outcome.reused:
                raise RuntimeError("a node was trained earlier: its time is not known")
    return took


def write_missing_views(
    store: Store, task: Task, settings: MetricSettings, nodes: Sequence[str], views: Path
) -> None:
    """Writes the views of some nodes into a folder, where they are not there already."""
    views.mkdir(parents=True, exist_ok=True)
    missing = {n: views / f"{n}.npy" for n in nodes if not (views / f"{n}.npy").exists()}
    if missing:
        count = len(records(store, task).index)
        write_views(RunContext(store, task.tree), missing, settings, np.ones(count, bool))


def train_final_networks(
    store: Store,
    task: Task,
    settings: MetricSettings,
    nodes: Sequence[str],
    views: Path,
) -> tuple[dict[str, np.ndarray], Took]:
    """The tree without cross-fitting: each node's final network alone, bottom-up.

    Parameters
    ----------
    nodes : sequence of str
    views : pathlib.Path
        Folder for views; those that are missing are written, and the time counts them.

    Returns
    -------
    embeddings, Took
        Node → float32 array (N, D), zero rows where absent. Nodes too few images have are left
        out.
    """
    tree, known = task.tree, records(store, task)
    device = choose_device(settings.device)
    found: dict[str, np.ndarray] = {}
    weights: dict[str, dict[str, Tensor]] = {}

    def train(node: str) -> tuple[str, dict[str, Tensor], np.ndarray] | None:
        array = open_views(views / f"{node}.npy")
        present = present_in(array)
        rows = known.train[present[known.train]]
        counts = np.bincount(known.labels[rows], minlength=2)
        if (counts >= 2).sum() < 2:
            return None
        below = [weights[child] for child in tree.children(node) if child in weights]
        start = combine(below) if below and settings.warm_start else None
        network, _ = train_network(
            array, rows, known.labels[rows], settings, start, settings.seed, device=device
        )
        embeddings = embed(network, array)
        embeddings[~present] = 0
        return node, dict(network.cpu().state_dict()), embeddings

    with clock() as took:
        write_missing_views(store, task, settings, nodes, views)
        for level in tree.levels:
            chosen = [node for node in level if node in nodes]
            side = max((resolution_of(node, tree, settings) for node in chosen), default=1)
            with worker_pool(networks_at_once(side, settings, device)) as pool:
                for trained in pool.map(train, chosen):
                    if trained is not None:
                        node, weights[node], found[node] = trained
    return found, took
