"""What all nodes of a level share: the measured images, their labels, folds and origins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data_contracts import EMBEDDINGS
from heml.images.images_table import image_index
from heml.metrics.artifacts import node_folder
from heml.metrics.identity import content_of, training_identity
from heml.metrics.labels import TooFewLabels, label_columns, metric_labels
from heml.metrics.lineage import complete_summary, last_lineage
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.node_training import LevelData, enough
from heml.metrics.sample import EarlierSample, draw_sample, strata_of
from heml.segmentation.cache import segment_keys
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.store import Store

#: Embeddings of a node's images outside the sample, beside those of the sample.
UNSAMPLED = "unsampled.parquet"


@dataclass(frozen=True)
class Rows:
    """All images of the store, and which of them are measured.

    Parameters
    ----------
    index : DataFrame
        Columns image_id, split, label and more; every image in stored order.
    made_from : list of bytes, or None
        What an image, its segments, label and attributes are; None where the store does not tell.
    measured : bool array (N,)
    data : LevelData
        Of the measured rows.
    folds : str
        Names the folds if an earlier state of the source decided on them; or empty.
    """

    index: pd.DataFrame
    made_from: list[bytes] | None
    measured: np.ndarray
    data: LevelData
    folds: str

    @property
    def train_images(self) -> int:
        """Of the whole train split."""
        return int((self.index["split"] == "train").sum())


def read_rows(run: RunContext, settings: MetricSettings) -> Rows:
    """The images as a level needs them.

    Raises
    ------
    TooFewLabels
        If no node could be trained.
    """
    columns, attributes = label_columns(settings), run.attributes
    index = image_index(run.store, [*attributes, *(c for c in columns if c not in attributes)])
    made_from = _made_from(run.store, index)
    earlier, folds = _earlier_sample(run, settings, index, made_from)
    sample = draw_sample(
        index,
        strata_of(index, attributes),
        settings.folds,
        settings.seed,
        settings.train_images,
        earlier,
    )
    chosen, fold = sample.measured, sample.fold[sample.measured]
    if earlier is not None and folds is None:
        folds = hashlib.sha256(fold.tobytes()).hexdigest()[:16]
    own = index[chosen].reset_index(drop=True)
    labels = metric_labels(own, columns)
    train = (own["split"] == "train").to_numpy()
    if not all(enough(labels[train & (fold != left_out)]) for left_out in range(settings.folds)):
        raise TooFewLabels(labels[train], columns)
    if made_from is not None:
        own = own.assign(made_from=[m for m, is_in in zip(made_from, chosen, strict=True) if is_in])
    return Rows(index, made_from, chosen, LevelData(own, labels, train, fold), folds or "")


def _made_from(store: Store, index: pd.DataFrame) -> list[bytes] | None:
    keys = segment_keys(store)
    if keys is None or len(keys) != len(index):
        return None
    rows = index.drop(columns="image_id").astype(str).to_numpy()
    return [
        hashlib.sha256(key + "\x1f".join(row).encode()).digest()[:16]
        for key, row in zip(keys, rows, strict=True)
    ]


def sampling(attributes: Sequence[str], settings: MetricSettings) -> str:
    """What the choice of the sample and its folds depends on beside the images."""
    return fingerprint(list(attributes), settings.folds, settings.seed, settings.train_images)


def _earlier_sample(
    run: RunContext,
    settings: MetricSettings,
    index: pd.DataFrame,
    made_from: list[bytes] | None,
) -> tuple[EarlierSample | None, str | None]:
    """The sample as nodes have it that stay in use, and the name of its folds if it is this one."""
    if settings.retrain == "always" or made_from is None:
        return None, None
    store = run.store
    content, wanted = content_of(store), sampling(run.attributes, settings)
    now = dict(zip(index["image_id"], made_from, strict=True))
    earlier: EarlierSample | None = None
    for node in run.taxonomy.nodes:
        lineage = last_lineage(store, node)
        if lineage is None or lineage.sampling != wanted:
            continue
        same = lineage.applied_to == content
        if not same and (earlier or lineage.training != _training(run, node, settings)):
            continue
        if complete_summary(store, node) is None:
            continue
        found = _read_sample(store, node, now)
        if same and found is not None:
            return (found, lineage.folds) if lineage.folds else (None, None)
        earlier = earlier or found
    return earlier, None


def _training(run: RunContext, node: str, settings: MetricSettings) -> str | None:
    """Identity of the node's training; None if a child that it starts from is not trained."""
    try:
        return training_identity(run, node, settings)
    except (FileNotFoundError, KeyError):
        return None


def _read_sample(store: Store, node: str, now: dict[str, bytes]) -> EarlierSample | None:
    """The sample of a node's artifacts; None if an image that it was trained on has changed."""
    fold: dict[str, int] = {}
    seen: set[str] = set()
    folder = node_folder(store, node)
    for path in (folder / "embeddings.parquet", folder / UNSAMPLED):
        if not path.exists():
            continue
        with pq.ParquetFile(path) as file:
            EMBEDDINGS.check_version(file.schema_arrow)
            columns = ["image_id", "fold", "made_from", "learned"]
            for batch in file.iter_batches(4096, columns=columns):
                for row in batch.to_pylist():
                    same = row["made_from"] is not None
                    same = same and now.get(row["image_id"]) == row["made_from"]
                    if same:
                        seen.add(row["image_id"])
                        if path.name != UNSAMPLED:
                            fold[row["image_id"]] = row["fold"]
                    elif row["learned"]:
                        return None
    return EarlierSample(fold, seen)
