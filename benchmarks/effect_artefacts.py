"""Traces of recombination: can a network tell recombined images, does that tell the label, and
does an edit that changes nothing change what a network says?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from benchmarks.effect_tasks import Task
from heml.effect.network import run
from heml.effect.problem import TrainingSet
from heml.effect.read import shrink_pixels
from heml.effect.training import train_network
from heml.images import decode_image, iterate_images
from heml.recombination.compose import compose
from heml.recombination.picture import Picture
from heml.segmentation.masks import SegmentReader
from heml.settings import EffectSettings
from heml.store import Store, fingerprint, write_aside
from heml.taxonomy import Taxonomy

FOLDS = 3


@dataclass(frozen=True)
class Traces:
    """How visible recombination is.

    Parameters
    ----------
    auc : float
        Of telling recombined from real images, out of fold; 0.5 is chance.
    label_accuracy : float
        Balanced accuracy of telling the label from that detector's score alone, out of fold.
    chance : float
        One over the number of label values.
    n : int
        Images.
    """

    auc: float
    label_accuracy: float
    chance: float
    n: int


def traces(data: TrainingSet, recombined: np.ndarray, settings: EffectSettings) -> Traces:
    """Trains a detector and looks whether its score gives the label away.

    Parameters
    ----------
    data : TrainingSet
        The train split of a rebalanced dataset.
    recombined : bool array (N,)
    settings : EffectSettings
        The detector is the small network, trained like the arms, every image drawn by its weight.
    """
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    score = np.empty(len(data))
    for fold, (fit, held_out) in enumerate(folds.split(data.labels, recombined)):
        own = data.take(fit)
        own = TrainingSet(own.images, recombined[fit].astype(int), own.cells, own.weights)
        network = train_network(own, 2, settings, fold, lambda step: None)
        outputs = run(network, data.images[held_out])
        score[held_out] = outputs[:, 1] - outputs[:, 0]
    told = cross_val_predict(
        LogisticRegression(class_weight="balanced"),
        # Also its square: a label may sit at both ends of the score.
        np.stack([score, score**2], axis=1),
        data.labels,
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=1),
    )
    weights = data.weights
    labels = np.unique(data.labels)
    right = [np.average(told[own] == label, weights=weights[own])
             for label in labels for own in [data.labels == label]]  # fmt: skip
    return Traces(
        float(roc_auc_score(recombined, score, sample_weight=weights)),
        float(np.mean(right)),
        1 / len(labels),
        len(data),
    )


def self_recombined(
    store: Store, taxonomy: Taxonomy, task: Task, names: list[str], size: int, cache: Path
) -> np.ndarray:
    """Test images with one of their own segments put where it was, as the plan moves others.

    Parameters
    ----------
    names : list of str
        File names of the test images.

    Returns
    -------
    uint8 array (N, 3, size, size)
        Images without a fitting segment, or that the pipeline refused, stay as they are.
    """
    key = fingerprint(store.fingerprint("rebalance_plan"), names, size)
    path = cache / f"{task.name}-controls-{key}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return stored["images"]
    plan = pd.read_parquet(store.rebalance_plan)
    kinds = sorted({(row.operator, tuple(row.nodes)) for row in plan.itertuples()})
    kinds = [kind for kind in kinds if kind[0] not in ("insert", "remove")]
    ids = {
        row["sha256"]: row["image_id"]
        for batch in iterate_images(store, ["image_id", "sha256"])
        for row in batch.to_pylist()
    }
    segments = SegmentReader(store)
    rng = np.random.default_rng(0)
    images = []
    for name in names:
        data = (task.root / name).read_bytes()
        pixels = decode_image(data)
        image_id = ids.get(hashlib.sha256(data).hexdigest())
        masks = segments.masks(image_id) if image_id else {}
        fitting = [
            (operator, nodes)
            for operator, nodes in kinds
            if any(c in masks for node in nodes for c in taxonomy.classes_of(node))
        ]
        if fitting:
            operator, nodes = fitting[int(rng.integers(len(fitting)))]
            own = Picture(pixels, masks)
            pixels = compose(operator, own, own, list(nodes), taxonomy).image
        images.append(shrink_pixels(pixels, size))
    result = np.stack(images)
    cache.mkdir(parents=True, exist_ok=True)
    with write_aside(path) as aside, aside.open("wb") as file:
        np.savez(file, images=result)
    return result
