"""Training all nodes of one tree level: views once, then every network of every node.

A node has one network trained on the whole train split and one per cross-fitting fold. They are
small, so they train side by side, one thread each: that is faster than sharing threads inside each
operation, and makes results independent of the number of cores and of which other nodes train.
`benchmarks/level_training.py` compares it with one network of grouped convolutions and with stacked
parameters.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heml.device import choose_device
from heml.images import decode_image, image_index, iterate_images
from heml.metrics.artifacts import load_node, save_node
from heml.metrics.backbone import checkpoint_identity
from heml.metrics.folds import assign_folds
from heml.metrics.labels import TooFewLabels, label_columns, metric_labels
from heml.metrics.network import combine
from heml.metrics.node_training import LevelData, NodeTraining, enough
from heml.metrics.views import ViewWriter, open_views
from heml.pace import Pace
from heml.progress import Progress
from heml.segmentation.masks import iterate_masks
from heml.settings import SMALL, MetricSettings
from heml.stage import Outcome
from heml.store import Store, fingerprint, process_lives, write_aside
from heml.taxonomy import Taxonomy
from heml.workers import worker_pool

VERSION = 4
#: Pixels per image that the networks of a level together may hold in memory while they train. One
#: network on whole images of 224 px, as metrics are trained elsewhere, holds 50 176; a level stays
#: below a third of that, however many processors there are.
_PIXELS = 14_000
#: What a network holds besides, counted in such pixels: weights, optimizer, triplets.
_FIXED = 400


class LevelError(ValueError):
    """A level cannot be trained on what the store holds; the message says what to do."""


def stage_name(node: str) -> str:
    """Name of a node's stage in the store."""
    return f"metric/{node}"


def resolution_of(node: str, taxonomy: Taxonomy, settings: MetricSettings) -> int:
    """Side of a node's views in pixels."""
    by_kind = getattr(settings.resolution, taxonomy.kind(node))
    return int(settings.resolution.nodes.get(node, by_kind))


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


def node_fingerprint(
    store: Store, taxonomy: Taxonomy, node: str, groups: Sequence[str], settings: MetricSettings
) -> str:
    """Everything that a node's artifacts depend on: input, classes, settings, children, code.

    The device and how many train at once do not count: what was trained on one machine is not
    trained again on another.
    """
    children = [store.fingerprint(stage_name(child)) for child in taxonomy.children(node)]
    trunk = settings.trunk
    return fingerprint(
        VERSION,
        store.summary("images")["content"],
        store.summary("segments")["content"],
        list(groups),
        taxonomy.classes_of(node),
        resolution_of(node, taxonomy, settings),
        settings.model_dump(exclude={"resolution", "neighbours", "device", "parallel"}),
        trunk if trunk == SMALL else checkpoint_identity(trunk),
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
    wanted: dict[str, str] = {}
    for node in nodes:
        if settings.warm_start:
            _refuse_stale_children(store, taxonomy, node, groups, settings)
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
    device = choose_device(settings.device)
    data = _level_data(store, groups, settings)
    views = {node: _views_path(store, node, key) for node, key in wanted.items()}
    largest = max(resolution_of(node, taxonomy, settings) for node in wanted)
    try:
        write_views(store, taxonomy, views, settings, len(data.index), progress)
        with worker_pool(networks_at_once(largest, settings, device)) as pool:
            jobs = {
                node: NodeTraining(
                    node,
                    open_views(views[node]),
                    data,
                    settings,
                    _starts(store, taxonomy, node, settings),
                    device,
                    pool,
                    progress,
                )
                for node in wanted
            }
            for node, key in wanted.items():
                metric = jobs[node].result()
                with write_aside(store.node(node) / key) as aside:
                    save_node(metric, aside)
                summary = _remember(store, node, key)
                views[node].unlink()
                progress(f"metric/{node}: {_in_words(summary)}")
                yield node, Outcome(summary, reused=False)
    finally:
        for path in views.values():
            path.unlink(missing_ok=True)


def _views_path(store: Store, node: str, key: str) -> Path:
    return store.node(node) / f".{key}.{os.getpid()}.views.tmp"


def _remove_abandoned_views(store: Store, nodes: Sequence[str]) -> None:
    for node in nodes:
        for path in store.node(node).glob(".*.views.tmp"):
            pid = path.name.split(".")[2]
            if pid.isdigit() and not process_lives(int(pid)):
                path.unlink(missing_ok=True)


def _refuse_other_classes(store: Store, taxonomy: Taxonomy) -> None:
    found = sorted(name for name, share in store.summary("segments")["presence"].items() if share)
    if not set(found) & set(taxonomy.class_names):
        raise LevelError(
            f"{store.root}: no segment is of a class of the taxonomy '{taxonomy.name}'; the store "
            f"holds {', '.join(found[:10]) or 'no segments'}: use their taxonomy, or another store"
        )


def _refuse_stale_children(
    store: Store, taxonomy: Taxonomy, node: str, groups: Sequence[str], settings: MetricSettings
) -> None:
    for child in taxonomy.children(node):
        try:
            current = store.fingerprint(stage_name(child))
            stale = current != node_fingerprint(store, taxonomy, child, groups, settings)
        except FileNotFoundError:
            stale = True
        if stale:
            raise LevelError(
                f"metric/{node} starts from metric/{child}, which is not trained under these "
                f"settings and this taxonomy: train metric/{child} first"
            )


def _level_data(store: Store, groups: Sequence[str], settings: MetricSettings) -> LevelData:
    columns = label_columns(settings)
    index = image_index(store, [*groups, *(c for c in columns if c not in groups)])
    train = (index["split"] == "train").to_numpy()
    labels = metric_labels(index, columns)
    strata = ["\x1f".join(row) for row in index[["label", *groups]].astype(str).to_numpy()]
    fold = np.full(len(index), -1, np.int8)
    fold[train] = assign_folds(np.array(strata)[train].tolist(), settings.folds, settings.seed)
    if not all(enough(labels[train & (fold != left_out)]) for left_out in range(settings.folds)):
        raise TooFewLabels(labels[train], columns)
    return LevelData(index, labels, train, fold)


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


def _remember(store: Store, node: str, key: str) -> dict[str, Any]:
    folder = store.node(node) / key
    summary = dict(json.loads((folder / "node.json").read_text()))
    store.finish(stage_name(node), key, summary, [folder])
    return summary


def _in_words(summary: dict[str, Any]) -> str:
    if summary["state"] != "trained":
        return f"not trained: {summary['state']}"
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
) -> None:
    """Writes the views of some nodes, in one pass over all images.

    Parameters
    ----------
    paths : mapping of node to pathlib.Path
        Where to; `open_views` reads them.
    count : int
        Number of images.
    """
    writer = ViewWriter(
        paths,
        {node: resolution_of(node, taxonomy, settings) for node in paths},
        {node: taxonomy.classes_of(node) for node in paths},
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
            pace.tell(f"metric: views of {len(paths)} nodes, image {done}/{count}")
    writer.close()
