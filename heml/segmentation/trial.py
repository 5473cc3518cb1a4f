"""A recipe's segmenter on a few images, in a store of their own: what it would find, and where."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.images import IMAGES
from heml.compute.batching import in_parts
from heml.compute.progress import Progress
from heml.images.images_table import decode_image
from heml.segmentation.cache import EarlierSegments
from heml.segmentation.certainty import certainty
from heml.segmentation.masks import decode
from heml.segmentation.row_group_job import Image, Shard, shards
from heml.segmentation.segment_rows import ANNOTATED, doubt
from heml.segmentation.segmenter import SEGMENTERS, SegmentationContext, SegmentationJob
from heml.segmentation.segmenter_settings import PredictorSettings, SegmenterSettings
from heml.segmentation.stability import LeafStability, measure
from heml.sources.raw import RawRecord, Unacceptable
from heml.sources.validate import check_image, check_mask
from heml.storage.sharded_parquet import ShardWriter
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

#: Images between two lines of progress, where settings name no batch.
_BATCH = 4


@dataclass(frozen=True)
class TriedImage:
    """One image and its segments.

    Parameters
    ----------
    image_id : str
    pixels : ndarray of uint8, shape (height, width, 3)
    masks : dict of str to ndarray of bool, shape (height, width)
        By name, in the order of the names.
    confidence : dict of str to float
    doubts : dict of str to str
        Segments that are doubted, and why; they are among the masks.
    stability : dict of str to float
        Mean IoU with the segments of slightly changed images; also of names that are found in
        these alone. Empty where it is not measured.
    word_agreement : dict of str to float
        See `Prediction`.
    """

    image_id: str
    pixels: np.ndarray
    masks: dict[str, np.ndarray]
    confidence: dict[str, float]
    doubts: dict[str, str]
    stability: dict[str, float] = field(default_factory=dict)
    word_agreement: dict[str, float] = field(default_factory=dict)

    @property
    def certainty(self) -> float:
        """See `heml.segmentation.certainty`."""
        return certainty({n: self.confidence[n] for n in self.masks}, self.stability)


@dataclass(frozen=True)
class Trial:
    """What a segmenter found in a few images.

    Parameters
    ----------
    images : list of TriedImage
        The most doubtful first.
    names : list of str
        Leaves, or classes for a segmenter that gives these.
    refused : list of str
        Images that could not be used, and why.
    segmenter, licence : str or None
        As rows of the segments table name them.
    noticed : list of str
        Sentences about these images.
    """

    images: list[TriedImage]
    names: list[str]
    refused: list[str]
    segmenter: str | None
    licence: str | None
    noticed: list[str]


class NothingToTry(ValueError):
    """No image can be segmented; the message says why."""


def try_segmenter(
    records: Sequence[RawRecord],
    classes: Mapping[int, str],
    settings: SegmenterSettings,
    taxonomy: Taxonomy,
    base: Path,
    store: Store,
    scratch: Path,
    max_pixels: int,
    progress: Progress,
) -> Trial:
    """Segments some images as the segments stage would.

    Parameters
    ----------
    records : sequence of RawRecord
    classes : mapping of int to str
        Of the source's masks.
    settings : SegmenterSettings
    taxonomy : Taxonomy
        From the source's classes to leaves.
    base : pathlib.Path
        Where relative paths start: the recipe's folder.
    store : Store
        The recipe's: read where a segmenter was fitted there, never written.
    scratch : pathlib.Path
        Empty folder for what is made on the way.
    max_pixels : int
        Larger images are refused.
    progress : Progress

    Raises
    ------
    NothingToTry
        If no image can be used, or the segmenter must be fitted first.
    CheckpointError, TaxonomyError
        As the stage raises them.
    """
    taxonomy.check_covers(classes.values())
    segmenter = SEGMENTERS[settings.kind]
    own = Store(scratch)
    pixels, refused = _stored(own, records, classes, segmenter.needs_masks, max_pixels)
    if not pixels:
        raise NothingToTry("no image can be used: " + "; ".join(refused[:3]))
    kept = {i: name for i, name in classes.items() if name not in taxonomy.ignored}
    context = SegmentationContext(own, taxonomy, kept, base, "trial", progress)
    progress("loading the segmenter")
    job = segmenter.trial(settings, context, store)
    work = job.make()
    found: dict[str, list[dict[str, Any]]] = {}
    for shard in shards(own, EarlierSegments(own, "trial")):
        for part in _parts(shard, getattr(settings, "batch_size", _BATCH)):
            progress(f"segmenting: {len(found)} of {len(pixels)} images done")
            for image, rows in zip(part.images, work(part)[1], strict=True):
                if rows is not None:
                    found[image.image_id] = rows
    made = [row for rows in found.values() for row in rows]
    stability = _stability(job, settings, pixels, found, progress)
    tried = [
        _tried(i, pixels[i], rows, settings, stability.get(i, {})) for i, rows in found.items()
    ]
    return Trial(
        sorted(tried, key=lambda image: image.certainty),
        list(dict.fromkeys(job.names)),
        refused,
        made[0]["segmenter"] if made else None,
        made[0]["segmenter_licence"] if made else None,
        job.noticed(),
    )


def _stability(
    job: SegmentationJob,
    settings: SegmenterSettings,
    pixels: Mapping[str, np.ndarray],
    found: Mapping[str, list[dict[str, Any]]],
    progress: Progress,
) -> dict[str, dict[str, LeafStability]]:
    """How the segments of the images hold that the segmenter found."""
    if job.predictor is None or not isinstance(settings, PredictorSettings):
        return {}
    changes = settings.changes
    given = {i for i, rows in found.items() if any(r["segmenter"] == ANNOTATED for r in rows)}
    ids = [i for i in found if i not in given]
    measured: dict[str, dict[str, LeafStability]] = {}
    for part in in_parts(ids if changes else [], settings.batch_size):
        progress(f"stability ({', '.join(changes)}): {len(measured)} of {len(ids)} images done")
        leaves = measure(job.predictor, [pixels[i] for i in part], changes, settings.least_area)
        measured |= dict(zip(part, leaves, strict=True))
    return measured


def _stored(
    store: Store,
    records: Sequence[RawRecord],
    classes: Mapping[int, str],
    needs_masks: bool,
    max_pixels: int,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Pixels of the images that were written into a store, by id, and refusals."""
    pixels: dict[str, np.ndarray] = {}
    refused = []
    with ShardWriter(store.images, IMAGES) as writer:
        for record in records:
            try:
                if record.image is None:
                    raise Unacceptable(*(record.refusal or ("missing_file", "it has no bytes")))
                image = check_image(record.image, max_pixels)
                mask = None
                if record.mask is not None and classes:
                    mask = check_mask(record.mask, image.size, classes)
                elif needs_masks:
                    raise Unacceptable("missing_mask", "the row names no mask")
            except Unacceptable as error:
                refused.append(f"{record.file_name}: {error.refusal.detail}")
                continue
            digest = hashlib.sha256(image.data).hexdigest()
            row: dict[str, object] = {
                "image_id": record.image_id,
                "image": {"bytes": image.data, "path": record.file_name},
                "mask": mask.png if mask else None,
                "width": image.size[0],
                "height": image.size[1],
                "split": "train",  # what is fitted without masks, is fitted on these
                "label": "",
                "sha256": digest,
                "source_sha256": digest,
            }
            writer.write([row], len(image.data))
            pixels[record.image_id] = decode_image(image.data)
    summary = {"classes": {str(i): name for i, name in classes.items()}, "content": "trial"}
    store.finish("images", "trial", summary, [store.images])
    return pixels, refused


def _parts(shard: Shard, size: int) -> list[Shard]:
    """The images of a shard, so many new ones at a time."""
    number = len(shard.images)
    return [
        Shard(
            shard.group,
            [
                Image(image.image_id, image.key, image.known or not start <= n < start + size)
                for n, image in enumerate(shard.images)
            ],
        )
        for start in range(0, number, size)
    ]


def _tried(
    image_id: str,
    pixels: np.ndarray,
    rows: list[dict[str, Any]],
    settings: SegmenterSettings,
    stability: Mapping[str, LeafStability],
) -> TriedImage:
    doubts = {
        row["class_name"]: why
        for row in rows
        if (why := doubt(row, settings.least_area, settings.least_confidence)) is not None
    }
    return TriedImage(
        image_id,
        pixels,
        {row["class_name"]: decode(row["rle"], row["height"], row["width"]) for row in rows},
        {row["class_name"]: row["confidence"] for row in rows},
        doubts,
        {name: found.mean for name, found in stability.items()},
        {n: f.word_agreement for n, f in stability.items() if f.word_agreement is not None},
    )
