"""Fingerprints that decide whether a node has to be trained: of its training, and of the images."""

from __future__ import annotations

import torch

from heml.compute.checkpoints import checkpoint_identity
from heml.metrics.lineage import last_lineage
from heml.metrics.metric_settings import SMALL, MetricSettings
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

VERSION = 7

#: When to train does not change what training gives, and a trunk is known by its content.
_NOT_TRAINING = {
    "trunk", "resolution", "neighbors", "device", "parallel", "retrain", "drift", "growth",
}  # fmt: skip


def resolution_of(node: str, taxonomy: Taxonomy, settings: MetricSettings) -> int:
    """Side of a node's views in pixels."""
    by_kind = getattr(settings.resolution, taxonomy.kind(node))
    return int(settings.resolution.nodes.get(node, by_kind))


def training_identity(run: RunContext, node: str, settings: MetricSettings) -> str:
    """Everything but the images that a node's weights depend on: classes, settings, children, code.

    The device does not count: what was trained on one machine is not trained again on another.

    Raises
    ------
    FileNotFoundError
        If a child that it starts from is not trained.
    """
    children = []
    if settings.warm_start:
        children = [_weights_of(run.store, child) for child in run.taxonomy.children(node)]
    trunk = settings.trunk
    return fingerprint(
        VERSION,
        list(run.attributes),
        run.taxonomy.classes_of(node),
        resolution_of(node, run.taxonomy, settings),
        settings.model_dump(exclude=_NOT_TRAINING),
        trunk if trunk == SMALL else checkpoint_identity(trunk),
        children,
        torch.__version__,
    )


def content_of(store: Store) -> str:
    """Images and segments as they are now."""
    return fingerprint(store.summary("images")["content"], store.summary("segments")["content"])


def _weights_of(store: Store, node: str) -> str:
    lineage = last_lineage(store, node)
    if lineage is None:
        raise FileNotFoundError(f"metric/{node} is not trained yet")
    return lineage.weights
