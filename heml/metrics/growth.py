"""Trained nodes of a source that has grown: new images are embedded, and drift is measured.

New images were never seen by any network, so those of an image's fold judge it as they judge the
others: nothing has to be trained for that. Whether what was learned still fits, drift says: the
share of new images that are farther from the trained ones than 95% of those are from each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from statsmodels.stats.proportion import proportion_confint
from torch import Tensor

from heml.metrics.artifacts import NodeMetric, load_node, network_from
from heml.metrics.distance import Distance
from heml.metrics.level_data import Rows
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.network_training import embed
from heml.metrics.node_distances import node_distances
from heml.metrics.node_training import LevelData, enough, metric_index, out_of_fold, present_in
from heml.storage.store import Store

#: Share of the trained images that lie within the distance that is called usual.
_USUAL = 0.95
#: Fewer new train images tell nothing.
_FEWEST = 20
#: Rows of the distance matrix held at a time.
_BATCH = 1024


@dataclass(frozen=True)
class Grown:
    """A node that keeps its weights.

    Parameters
    ----------
    earlier : NodeMetric
    place : int array (N,)
        Row of each measured image among the earlier ones, -1 for a new one.
    """

    earlier: NodeMetric
    place: np.ndarray

    @property
    def new(self) -> np.ndarray:
        """bool array (N,)"""
        return self.place < 0


def grown_node(
    store: Store, node: str, train_images: int, rows: Rows, settings: MetricSettings
) -> Grown | None:
    """A node's artifacts as far as they hold for the images of today.

    Parameters
    ----------
    train_images : int
        Images of the train split when it was trained.

    Returns
    -------
    Grown, or None
        None if an image that it learned from has changed, gone or another fold, or if the train
        split has grown beyond the settings' `growth`.
    """
    earlier, data = load_node(store, node), rows.data
    if settings.retrain != "never" and rows.train_images > (1 + settings.growth) * train_images:
        return None
    if "made_from" not in data.index or "made_from" not in earlier.index:
        return None
    was = {
        image_id: (row, source)
        for row, (image_id, source) in enumerate(
            zip(earlier.index["image_id"], earlier.index["made_from"], strict=True)
        )
    }
    place = np.full(len(data.index), -1)
    pairs = zip(data.index["image_id"], data.index["made_from"], strict=True)
    for row, (image_id, source) in enumerate(pairs):
        before, earlier_source = was.get(image_id, (-1, None))
        place[row] = before if source == earlier_source else -1
    learned = np.flatnonzero(earlier.index["learned"])
    kept = place >= 0
    if not np.isin(learned, place[kept]).all():
        return None
    if (earlier.fold[place[kept]] != data.fold[kept]).any():
        return None
    return Grown(earlier, place)


def extend(
    grown: Grown,
    views: np.ndarray,
    data: LevelData,
    settings: MetricSettings,
    device: torch.device,
) -> NodeMetric:
    """The node with its new images.

    Parameters
    ----------
    views : uint8 array (new, 4, R, R)
        Of the new images, in their order.

    Returns
    -------
    NodeMetric
        Its report has `drift` and its 95% interval, over all images since training; None where
        they are too few, 1 where a node that could not be trained now could.
    """
    earlier, new = grown.earlier, grown.new
    has = present_in(views)
    present = np.zeros(len(new), bool)
    present[~new], present[new] = earlier.present[grown.place[~new]], has

    def merged(before: np.ndarray, weights: dict[str, Tensor] | None) -> np.ndarray:
        vectors = np.zeros((len(new), before.shape[1]), np.float32)
        vectors[~new] = before[grown.place[~new]]
        if weights is not None and len(views):
            network = network_from(weights, earlier.architecture).to(device)
            fresh = embed(network, views)
            fresh[~has] = 0
            vectors[new] = fresh
        return vectors

    weights: list[dict[str, Tensor] | None] = [*earlier.weights]
    final, *folds = weights or [None] * (settings.folds + 1)
    crossed = np.stack([merged(b, w) for b, w in zip(earlier.cross_fitted, folds, strict=True)])
    learned = np.zeros(len(new), bool)
    learned[~new] = earlier.index["learned"].to_numpy(bool)[grown.place[~new]]
    index = metric_index(data, present).assign(learned=learned)
    share, low, high = (
        _drift(earlier.distance, crossed, present, data, learned)
        if earlier.trained
        else _trainable(present, data, settings)
    )
    report = earlier.report | {
        "present_share": float(present.mean()),
        "new_images": int(new.sum()),
        "not_learned_from": int(((data.fold >= 0) & ~learned).sum()),
        "drift": share,
        "drift_low": low,
        "drift_high": high,
    }
    if earlier.trained:
        report |= out_of_fold(crossed, present, data, earlier.distance)
    return NodeMetric(
        earlier.node,
        index,
        merged(earlier.embeddings, final),
        crossed,
        earlier.weights,
        report,
        earlier.architecture,
    )


def _drift(
    distance: Distance,
    crossed: np.ndarray,
    present: np.ndarray,
    data: LevelData,
    learned: np.ndarray,
) -> tuple[float | None, float | None, float | None]:
    """Share of train images since training that are beyond the usual distance, with its 95%
    interval (Wilson)."""
    nearest = np.full(len(learned), np.nan)
    for fold, embeddings in enumerate(crossed):
        references = np.flatnonzero(learned & (data.fold != fold) & present)
        queries = np.flatnonzero((data.fold == fold) & present)
        for start in range(0, len(queries) if len(references) else 0, _BATCH):
            part = queries[start : start + _BATCH]
            measured = node_distances(
                distance,
                embeddings[part],
                embeddings[references],
                present[part],
                present[references],
            )
            nearest[part] = measured.distance.min(axis=1)
    old, fresh = (nearest[chosen & ~np.isnan(nearest)] for chosen in (learned, ~learned))
    if not len(old) or len(fresh) < _FEWEST:
        return None, None, None
    beyond = int((fresh > np.quantile(old, _USUAL)).sum())
    low, high = proportion_confint(beyond, len(fresh), method="wilson")
    return beyond / len(fresh), float(low), float(high)


def _trainable(
    present: np.ndarray, data: LevelData, settings: MetricSettings
) -> tuple[float | None, float | None, float | None]:
    seen = data.train & present & (data.labels >= 0)
    able = all(
        enough(data.labels[seen & (data.fold != fold)]) for fold in range(-1, settings.folds)
    )
    return (1.0, 1.0, 1.0) if able else (None, None, None)


def drifted(metric: NodeMetric, settings: MetricSettings) -> bool:
    """Whether what the node learned does not fit its new images any more."""
    low = metric.report["drift_low"]
    return settings.retrain == "drift" and low is not None and low > settings.drift
