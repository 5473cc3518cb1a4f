"""What a node's artifacts are named by: how it is trained, on what, and what it was applied to.

Weights belong to the images that they were trained on. Their embeddings of a source that has grown
since are other artifacts of the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from heml.compute.checkpoints import checkpoint_identity
from heml.metrics.metric_settings import SMALL, MetricSettings
from heml.storage.fingerprint import fingerprint
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

VERSION = 6

#: When to train does not change what training gives, and a trunk is known by its content.
_NOT_HOW = {"trunk", "resolution", "neighbors", "device", "parallel", "retrain", "drift", "growth"}


def stage_name(node: str) -> str:
    """Name of a node's stage in the store."""
    return f"metric/{node}"


def resolution_of(node: str, taxonomy: Taxonomy, settings: MetricSettings) -> int:
    """Side of a node's views in pixels."""
    by_kind = getattr(settings.resolution, taxonomy.kind(node))
    return int(settings.resolution.nodes.get(node, by_kind))


def how_trained(
    store: Store, taxonomy: Taxonomy, node: str, attributes: Sequence[str], settings: MetricSettings
) -> str:
    """Everything but the images that a node's weights depend on: classes, settings, children, code.

    The device does not count: what was trained on one machine is not trained again on another.

    Raises
    ------
    FileNotFoundError
        If a child that it starts from is not trained.
    """
    children = []
    if settings.warm_start:
        children = [_weights_of(store, child) for child in taxonomy.children(node)]
    trunk = settings.trunk
    return fingerprint(
        VERSION,
        list(attributes),
        taxonomy.classes_of(node),
        resolution_of(node, taxonomy, settings),
        settings.model_dump(exclude=_NOT_HOW),
        trunk if trunk == SMALL else checkpoint_identity(trunk),
        children,
        torch.__version__,
    )


def content_of(store: Store) -> str:
    """Images and segments as they are now."""
    return fingerprint(store.summary("images")["content"], store.summary("segments")["content"])


def trained_as(how: str, content: str, folds: str) -> str:
    """Name of weights.

    Parameters
    ----------
    how : str
        See `how_trained`.
    content : str
        That they were trained on.
    folds : str
        Of the sample's folds, if an earlier state of the source decided on them; or empty.
    """
    return fingerprint(how, content, folds)


def key_of(weights: str, trained_on: str, content: str) -> str:
    """Name of the artifacts of weights, applied to some content."""
    return weights if trained_on == content else fingerprint(weights, content)


def last_made(store: Store, node: str) -> dict[str, Any] | None:
    """How the node's last finished artifacts came about; None if there are none, or older ones.

    Returns
    -------
    dict, or None
        `how`, `trained_as`, `trained_on` (content), `trained_of` (train images there were then),
        `content`, `sampling` and `folds`.
    """
    try:
        return store.summary(stage_name(node)).get("made")
    except (FileNotFoundError, ValueError, KeyError):
        return None


def last_whole(store: Store, node: str) -> dict[str, Any] | None:
    """Summary of the node's last finished artifacts, if all of their files are there."""
    stage = stage_name(node)
    return store.finished(stage, store.fingerprint(stage))


def _weights_of(store: Store, node: str) -> str:
    made = last_made(store, node)
    if made is None:
        raise FileNotFoundError(f"metric/{node} is not trained yet")
    return str(made["trained_as"])
