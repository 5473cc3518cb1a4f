"""The `segments` stage from annotated masks: class ids become one segment per class."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from data_contracts.segments import SEGMENTS
from heml.ahead import map_ahead
from heml.images import decode_mask, iterate_images
from heml.pace import Pace
from heml.progress import Progress
from heml.settings import SegmentationSettings
from heml.shards import ShardWriter
from heml.stage import Outcome, run_stage
from heml.store import Store, fingerprint, write_aside
from heml.taxonomy import Taxonomy

VERSION = 1


def segment(
    store: Store, settings: SegmentationSettings, taxonomy: Taxonomy, progress: Progress
) -> Outcome:
    """Writes the store's `segments` table from the masks of its `images` table.

    Parameters
    ----------
    store : Store
    settings : SegmentationSettings
    taxonomy : Taxonomy
        Classes that it ignores get no segment.
    progress : Progress

    Returns
    -------
    Outcome
        Counts `images` and `segments`; by class `presence`, the share of images that have it, and
        `mean_area`, its mean share of the image's pixels where it is present; `content`, a hash
        of all rows.

    Raises
    ------
    FileNotFoundError
        If the images stage has not run.
    TaxonomyError
        If the taxonomy does not name one of the classes.
    """
    images = store.summary("images")
    classes = {int(key): name for key, name in images["classes"].items()}
    taxonomy.check_covers(classes.values())
    kept = {i: name for i, name in classes.items() if name not in taxonomy.ignored}
    key = fingerprint(VERSION, images["content"], settings.model_dump(), kept)
    return run_stage(store, "segments", key, lambda: _compute(store, kept, progress), progress)


def _compute(
    store: Store, classes: Mapping[int, str], progress: Progress
) -> tuple[dict[str, Any], list[Path]]:
    count = segments = 0
    presence: Counter[str] = Counter()
    area: defaultdict[str, float] = defaultdict(float)
    content = hashlib.sha256()
    pace = Pace(progress)
    with write_aside(store.segments) as folder, ShardWriter(folder, SEGMENTS) as writer:
        batches = iterate_images(store, ["image_id", "mask"])
        images = (image for batch in batches for image in batch.to_pylist())
        for rows in map_ahead(lambda image: _rows_of(image, classes), images):
            writer.write(rows, sum(len(row["rle"]) + 64 for row in rows))
            for row in rows:
                presence[row["class_name"]] += 1
                area[row["class_name"]] += row["area"] / (row["height"] * row["width"])
            content.update(json.dumps(rows).encode())
            count += 1
            segments += len(rows)
            pace.tell(f"segments: {count} images, {segments} segments")
    summary = {
        "images": count,
        "segments": segments,
        "presence": {name: round(presence[name] / max(count, 1), 6) for name in classes.values()},
        "mean_area": {
            name: round(area[name] / presence[name], 6)
            for name in classes.values()
            if presence[name]
        },
        "content": content.hexdigest(),
        "images_per_second": pace.rate(count),
    }
    return summary, [store.segments]


def _rows_of(image: Mapping[str, Any], classes: Mapping[int, str]) -> list[dict[str, Any]]:
    if image["mask"] is None:
        raise ValueError(
            f"image '{image['image_id']}' has no mask; remove the store's images and run again"
        )
    return annotated_rows(image["image_id"], decode_mask(image["mask"]), classes)


def annotated_rows(
    image_id: str, ids: np.ndarray, classes: Mapping[int, str]
) -> list[dict[str, Any]]:
    """Rows of the `segments` contract for one mask, in the order of the class ids.

    Parameters
    ----------
    image_id : str
    ids : ndarray of uint8, shape (height, width)
    classes : mapping of int to str
        Class id → name; ids that are not in it get no row.
    """
    height, width = ids.shape
    found = np.bincount(ids.ravel(), minlength=256)
    present = [i for i in sorted(classes) if found[i]]
    if not present:
        return []
    # COCO wants the class last and columns first: the transpose of what is made here
    columns_first = np.ascontiguousarray(ids.T)
    stacked = (np.array(present, np.uint8)[:, None, None] == columns_first).view(np.uint8).T
    encoded = coco.encode(stacked)
    boxes = coco.toBbox(encoded).astype(int)
    return [
        {
            "image_id": image_id,
            "class_name": classes[class_id],
            "rle": rle["counts"].decode("ascii"),
            "height": height,
            "width": width,
            "area": int(found[class_id]),
            "box_x": int(box[0]),
            "box_y": int(box[1]),
            "box_width": int(box[2]),
            "box_height": int(box[3]),
            "confidence": 1.0,
            "segmenter": "annotated",
            "segmenter_licence": None,
        }
        for class_id, rle, box in zip(present, encoded, boxes, strict=True)
    ]
