"""Stability of a sample of a store's images, kept beside its segments."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Sequence
from heapq import nsmallest
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import ContractError
from data_contracts.segment_stability import CHANGES, SEGMENT_STABILITY
from heml.compute.batching import in_parts
from heml.compute.throttled_progress import ThrottledProgress
from heml.images.images_table import ImageReader, decode_image, iterate_images
from heml.segmentation.cache import Rows, image_key
from heml.segmentation.prediction import Predictor
from heml.segmentation.segmenter import SegmentationContext, SegmentationJob
from heml.segmentation.segmenter_settings import PredictorSettings
from heml.segmentation.stability import LeafStability, leaf_summaries, measure
from heml.storage.atomic_write import write_aside
from heml.storage.store import Store

#: Of how stability is measured: measured again after a change.
VERSION = 1


def stability_state(settings: Any) -> list[object]:
    """What the table depends on beside segmenter and images; nothing where it is not made."""
    if not isinstance(settings, PredictorSettings) or not settings.changes:
        return []
    return [["stability", VERSION, settings.stability_images, settings.changes]]


def write_stability(
    job: SegmentationJob,
    settings: Any,
    context: SegmentationContext,
    without: Container[str] = (),
) -> dict[str, Any]:
    """Measures a sample, and writes the store's `segment_stability`.

    Images that were measured before with the same segmenter keep their values.

    Parameters
    ----------
    job : SegmentationJob
    settings : SegmenterSettings
    context : SegmentationContext
    without : container of str
        Images whose segments are not the segmenter's.

    Returns
    -------
    dict
        For the stage's summary: `stability` (`leaf_summaries`), `mean_stability` over leaves,
        `stability_images` and, where leaves have several words, `word_agreement`. Empty, and no
        table, where nothing is to be measured.
    """
    store = context.store
    if job.predictor is None or not stability_state(settings):
        store.segment_stability.unlink(missing_ok=True)
        return {}
    chosen = _chosen(store, settings.stability_images, job.keeps_masks, without)
    rows = _rows(job.predictor, settings, context, chosen)
    with write_aside(store.segment_stability) as aside:
        pq.write_table(SEGMENT_STABILITY.table(rows), aside, compression="zstd")
    return _facts(rows, job.names, len(chosen))


def _chosen(
    store: Store, count: int, keeps_masks: bool, without: Container[str]
) -> list[tuple[str, bytes]]:
    """Images with the smallest hashes of their ids, and what their segments are made from."""

    def found() -> Iterator[tuple[bytes, str, bytes]]:
        for batch in iterate_images(store, ["image_id", "sha256", "mask"]):
            for row in batch.to_pylist():
                image_id, mask = row["image_id"], row["mask"]
                if image_id not in without and not (keeps_masks and mask is not None):
                    rank = hashlib.sha256(f"stability:{image_id}".encode()).digest()
                    yield rank, image_id, image_key(row["sha256"], mask)

    return [(image_id, key) for _, image_id, key in nsmallest(count, found())]


def _rows(
    predictor: Predictor,
    settings: PredictorSettings,
    context: SegmentationContext,
    chosen: Sequence[tuple[str, bytes]],
) -> Rows:
    how = f"{context.key}:{VERSION}:{','.join(settings.changes)}".encode()
    made_from = {image_id: hashlib.sha256(how + key).digest() for image_id, key in chosen}
    earlier = _earlier(context.store)
    of_image = {
        image_id: earlier[image_id]
        for image_id, made in made_from.items()
        if image_id in earlier and earlier[image_id][0]["made_from"] == made
    }
    new = [image_id for image_id in made_from if image_id not in of_image]
    images = ImageReader(context.store)
    throttled = ThrottledProgress(context.progress)
    done = 0
    for part in in_parts(new, settings.batch_size):
        pixels = [decode_image(row["image"]["bytes"]) for row in images.rows(part, ["image"])]
        measured = measure(predictor, pixels, settings.changes, settings.least_area)
        for image_id, leaves in zip(part, measured, strict=True):
            made = made_from[image_id]
            of_image[image_id] = [_row(image_id, leaf, f, made) for leaf, f in leaves.items()]
        done += len(part)
        throttled.tell(f"segments: stability of {done} of {len(new)} images")
    return [row for image_id in made_from for row in of_image[image_id]]


def _row(image_id: str, leaf: str, found: LeafStability, made_from: bytes) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "class_name": leaf,
        "stability": round(found.mean, 6),
        **{name: _rounded(found.by_change.get(name)) for name in CHANGES},
        "word_agreement": _rounded(found.word_agreement),
        "made_from": made_from,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _earlier(store: Store) -> dict[str, Rows]:
    try:
        table = pq.read_table(store.segment_stability)
        SEGMENT_STABILITY.check_version(table.schema)
    except (OSError, pa.ArrowException, ContractError):
        return {}
    # stored with 32 bits: the numbers that were rounded to so many places
    rows = [
        {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in row.items()
        }
        for row in table.to_pylist()
    ]
    return {image_id: list(of) for image_id, of in groupby(rows, key=lambda row: row["image_id"])}


def _facts(rows: Rows, leaves: Sequence[str], images: int) -> dict[str, Any]:
    values: dict[str, list[float]] = {}
    agreement: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row["class_name"], []).append(row["stability"])
        if row["word_agreement"] is not None:
            agreement.setdefault(row["class_name"], []).append(row["word_agreement"])
    names = list(dict.fromkeys(leaves))
    summaries = leaf_summaries(values, names)
    facts: dict[str, Any] = {"stability": summaries, "stability_images": images}
    if summaries:
        means = [summary["mean"] for summary in summaries]
        facts["mean_stability"] = round(sum(means) / len(means), 6)
    if agreement:
        facts["word_agreement"] = leaf_summaries(agreement, names)
    return facts
