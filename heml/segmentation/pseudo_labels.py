"""Pseudo-labels: what another segmenter finds in train images without a mask.

It may find another thing than was annotated: on the annotated images, it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heml.compute.batching import in_parts
from heml.compute.progress import Progress, silent
from heml.compute.throttled_progress import ThrottledProgress
from heml.images.images_table import decode_image, decode_mask
from heml.segmentation.iou import IGNORED, confusion, iou
from heml.segmentation.prediction import Prediction, Predictor
from heml.segmentation.segment_rows import doubt
from heml.segmentation.segmenter_settings import PredictorSettings
from heml.segmentation.training_batches import Examples
from heml.segmentation.training_images import (
    TrainImages,
    iterate_chosen,
    on_disk,
    resized_image,
    resized_mask,
)
from heml.storage.store import Store


@dataclass(frozen=True)
class Labeler:
    """Another segmenter, for images without a mask.

    Parameters
    ----------
    settings : PredictorSettings
        Its own; segments that they doubt are not learned from.
    load : callable
        Gives it; fits it first, where that needs to be.
    """

    settings: PredictorSettings
    load: Callable[[], Predictor]


@dataclass(frozen=True)
class PseudoLabels:
    """What a labeler found.

    Parameters
    ----------
    examples : Examples or None
        None where nothing is learned from it.
    facts : dict
        For the stage's summary.
    """

    examples: Examples | None
    facts: dict[str, Any]


def pseudo_labels(
    store: Store,
    labeler: Labeler,
    least_agreement: float,
    images: TrainImages,
    lut: np.ndarray,
    folder: Path,
    progress: Progress,
) -> PseudoLabels:
    """Labels of the train images without a mask, if the labeler agrees with the masks.

    Parameters
    ----------
    store : Store
    labeler : Labeler
    least_agreement : float
        Mean IoU with the masks of the images to fit on, 0 to 1, below which nothing is used.
    images : TrainImages
    lut : ndarray of uint8, shape (256,)
        Class id in the masks → index of the leaf.
    folder : pathlib.Path
        Empty, for memory-mapped files.
    progress : Progress
    """
    count = len(images.unannotated)
    if not count:
        progress("segmenter: every train image has a mask, so there is nothing to pseudo-label")
        return PseudoLabels(None, {"pseudo_labeled_images": 0})
    predictor = labeler.load()
    by_leaf = _agreement(store, predictor, labeler.settings, images.fitted, lut)
    agreement = _mean(by_leaf)
    held_out = _mean(_agreement(store, predictor, labeler.settings, images.held_out, lut))
    enough = agreement >= least_agreement
    facts = {
        "pseudo_labeled_images": count if enough else 0,
        "pseudo_labeler": predictor.name,
        "pseudo_labeler_licence": predictor.licence,
        "pseudo_label_agreement": round(agreement, 6),
        "pseudo_labeler_held_out_iou": round(held_out, 6),
        "pseudo_label_iou": {n: v if v is None else round(v, 6) for n, v in by_leaf.items()},
    }
    said = (
        f"segmenter: {labeler.settings.kind} agrees with the masks of {len(images.fitted)} "
        f"annotated images to a mean IoU of {agreement:.3f} ("
        + ", ".join(f"{n} {'-' if v is None else format(v, '.3f')}" for n, v in by_leaf.items())
        + "); "
    )
    if not enough:
        progress(
            f"{said}that is below {least_agreement:g}: it means another thing, and its "
            "pseudo-labels are not used"
        )
        return PseudoLabels(None, facts)
    progress(f"{said}{count} images without a mask are pseudo-labeled")
    found = (
        (resized_image(pixels, images.size), resized_mask(ids, images.size))
        for _, pixels, ids in _found(
            store, predictor, labeler.settings, images.unannotated, progress
        )
    )
    return PseudoLabels(on_disk(found, count, images.size, folder), facts)


def _mean(by_leaf: Mapping[str, float | None]) -> float:
    known = [value for value in by_leaf.values() if value is not None]
    return float(np.mean(known)) if known else 0.0


def _agreement(
    store: Store,
    predictor: Predictor,
    settings: PredictorSettings,
    image_ids: Collection[str],
    lut: np.ndarray,
) -> dict[str, float | None]:
    """IoU of each leaf over the pixels that are annotated and labeled; None without any."""
    classes = len(predictor.leaves)
    total = np.zeros((classes, classes + 1), np.int64)
    for row, _, ids in _found(store, predictor, settings, image_ids):
        annotated = lut[decode_mask(row["mask"])]
        total += confusion(np.where(ids == IGNORED, IGNORED, annotated), ids, classes)
    return {
        leaf: None if np.isnan(value) else float(value)
        for leaf, value in zip(predictor.leaves, iou(total), strict=True)
    }


def _found(
    store: Store,
    predictor: Predictor,
    settings: PredictorSettings,
    image_ids: Collection[str],
    progress: Progress = silent,
) -> Iterator[tuple[Mapping[str, Any], np.ndarray, np.ndarray]]:
    """Rows of images, their pixels and the leaves found in them, doubted ones left out."""
    done, throttled = 0, ThrottledProgress(progress)
    for part in in_parts(iterate_chosen(store, image_ids, ["image", "mask"]), settings.batch_size):
        pixels = [decode_image(row["image"]["bytes"]) for row in part]
        for row, image, found in zip(part, pixels, predictor.predict(pixels), strict=True):
            yield row, image, _sure(found, settings)
        done += len(part)
        throttled.tell(f"segmenter: {done} of {len(image_ids)} images pseudo-labeled")


def _sure(found: Prediction, settings: PredictorSettings) -> np.ndarray:
    """Leaf of each pixel; of doubted segments none."""
    if settings.doubted == "keep":
        return found.ids
    height, width = found.ids.shape
    area = np.bincount(found.ids.ravel(), minlength=256)
    doubted = []
    for leaf, confidence in found.confidence.items():
        row = {"area": area[leaf], "height": height, "width": width, "confidence": confidence}
        if doubt(row, settings.least_area, settings.least_confidence) is not None:
            doubted.append(leaf)
    return np.where(np.isin(found.ids, doubted), IGNORED, found.ids).astype(np.uint8)
