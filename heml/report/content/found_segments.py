"""What the report shows of segments that a segmenter found: numbers by leaf, doubtful images."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.contract import ContractError
from data_contracts.segment_stability import SEGMENT_STABILITY
from data_contracts.segments import SEGMENTS
from heml.report.drawing.data_uris import Embedded, embed
from heml.report.drawing.thumbnails import encoded, leaf_colors, outlined
from heml.report.figures.store_images import StoreImages
from heml.storage.sharded_parquet import ShardedTable
from heml.storage.store import Store
from heml.taxonomy import BACKGROUND, Taxonomy

#: Images of each kind; box of one in pixels, and its pixels per CSS pixel.
SHOWN, BOX, DENSITY = 6, 256, 1.6


@dataclass(frozen=True)
class FoundLeaf:
    """One leaf in numbers; None where nothing is known.

    Parameters
    ----------
    name : str
    color : str or None
        Of its outlines; None for the background, whose outline is that of the others.
    share : float
        Of the images that have it.
    confidence : float or None
        Mean over the images that have it.
    stability, word_agreement : dict or None
        `mean`, `low`, `high` and `images`; see `heml.segmentation.stability.leaf_summaries`.
    """

    name: str
    color: str | None
    share: float
    confidence: float | None
    stability: Mapping[str, Any] | None
    word_agreement: Mapping[str, Any] | None


@dataclass(frozen=True)
class OutlinedImage:
    """An image with its segments outlined, the end of its id, and what is said of it."""

    picture: Embedded
    name: str
    caption: str


@dataclass(frozen=True)
class FoundSegments:
    """Segments that a segmenter found.

    Parameters
    ----------
    segmenter : str
    leaves : list of FoundLeaf
        In the order of the taxonomy.
    images : int
    measured : int
        Images whose stability was measured.
    dropped : int
        Doubted segments that were left out.
    least_sure, least_stable, random : list of OutlinedImage
        The most doubtful first. An image is among the first kind that it belongs to alone.
    """

    segmenter: str
    leaves: list[FoundLeaf]
    images: int
    measured: int
    dropped: int
    least_sure: list[OutlinedImage]
    least_stable: list[OutlinedImage]
    random: list[OutlinedImage]


def found_segments(store: Store, images: StoreImages, taxonomy: Taxonomy) -> FoundSegments | None:
    """What was found; None where all segments are annotated.

    Parameters
    ----------
    store : Store
        With a finished segments stage.
    images : StoreImages
    taxonomy : Taxonomy
        Of its segments.
    """
    summary = store.summary("segments")
    if not summary.get("mean_confidence"):
        return None
    confidence = _confidence(store, summary["segmenter"])
    stability = _stability(store)
    shown: set[str] = set()

    def outline(ids: Sequence[str]) -> list[OutlinedImage]:
        shown.update(ids)
        return [_outlined(images, taxonomy, i, confidence.get(i), stability.get(i)) for i in ids]

    def lowest(values: Mapping[str, float]) -> list[str]:
        return nsmallest(SHOWN, (i for i in values if i not in shown), lambda i: (values[i], i))

    return FoundSegments(
        segmenter=summary["segmenter"],
        leaves=_leaves(summary, taxonomy),
        images=summary["images"],
        measured=summary.get("stability_images", 0),
        dropped=summary["dropped"],
        least_sure=outline(lowest(confidence)),
        least_stable=outline(lowest(stability)),
        random=outline(nsmallest(SHOWN, sorted(confidence.keys() - shown), _rank)),
    )


def _leaves(summary: Mapping[str, Any], taxonomy: Taxonomy) -> list[FoundLeaf]:
    colors = leaf_colors(taxonomy)
    stability, agreement = (
        {row["leaf"]: row for row in summary.get(key, ())}
        for key in ("stability", "word_agreement")
    )
    return [
        FoundLeaf(
            leaf,
            None if leaf == BACKGROUND else colors[leaf],
            summary["presence"].get(leaf, 0.0),
            summary["mean_confidence"].get(leaf),
            stability.get(leaf),
            agreement.get(leaf),
        )
        for leaf in taxonomy.leaves
    ]


def _confidence(store: Store, segmenter: str) -> dict[str, float]:
    """Mean confidence of the segments of every image that the segmenter found."""
    total: defaultdict[str, float] = defaultdict(float)
    count: defaultdict[str, int] = defaultdict(int)
    columns = ["image_id", "confidence", "segmenter"]
    for batch in ShardedTable(store.segments, SEGMENTS).batches(columns, 65_536):
        own = batch.filter(pc.equal(batch["segmenter"], segmenter))
        values = zip(own["image_id"].to_pylist(), own["confidence"].to_pylist(), strict=True)
        for image_id, value in values:
            total[image_id] += value
            count[image_id] += 1
    return {image_id: total[image_id] / count[image_id] for image_id in total}


def _stability(store: Store) -> dict[str, float]:
    """Mean stability of the leaves of every image of the sample."""
    try:
        table = pq.read_table(store.segment_stability)
        SEGMENT_STABILITY.check_version(table.schema)
    except (FileNotFoundError, ContractError):
        return {}
    means = table.group_by("image_id").aggregate([("stability", "mean")])
    return dict(
        zip(means["image_id"].to_pylist(), means["stability_mean"].to_pylist(), strict=True)
    )


def _outlined(
    images: StoreImages,
    taxonomy: Taxonomy,
    image_id: str,
    confidence: float | None,
    stability: float | None,
) -> OutlinedImage:
    numbers = [
        f"{word} {value:.2f}"
        for word, value in (("confidence", confidence), ("stability", stability))
        if value is not None
    ]
    picture = outlined(images.image(image_id), images.segments(image_id), taxonomy, BOX)
    alt = f"Image {image_id} with its segments outlined"
    return OutlinedImage(
        embed(encoded(picture, BOX, BOX), alt, DENSITY),
        image_id.rsplit("/", 1)[-1],
        ", ".join(numbers),
    )


def _rank(image_id: str) -> bytes:
    return hashlib.sha256(f"shown:{image_id}".encode()).digest()
