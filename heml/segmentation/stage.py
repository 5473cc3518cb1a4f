"""The `segments` stage: one mask per semantic class, from annotations or from a network."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_contracts.segments import SEGMENTS
from heml.ahead import map_ahead
from heml.images import decode_image, decode_mask, iterate_images
from heml.pace import Pace
from heml.progress import Progress
from heml.segmentation.rows import doubt, segment_rows
from heml.settings import (
    AnnotatedSegmentation,
    PretrainedSegmentation,
    SegmentationSettings,
    TrainedSegmentation,
)
from heml.shards import ShardWriter
from heml.stage import Outcome, run_stage
from heml.store import Store, fingerprint, write_aside
from heml.taxonomy import Taxonomy

if TYPE_CHECKING:
    from heml.segmentation.segmenter import Segmenter

VERSION = 2

Rows = list[dict[str, Any]]


def segment(
    store: Store,
    settings: SegmentationSettings,
    taxonomy: Taxonomy,
    progress: Progress,
    base: Path | None = None,
) -> Outcome:
    """Writes the store's `segments` table.

    Annotated segments are named by their class, segments of a network by their leaf: what comes
    after uses `taxonomy.at_leaf_level()` then.

    Parameters
    ----------
    store : Store
    settings : SegmentationSettings
    taxonomy : Taxonomy
        Classes that it ignores get no segment.
    progress : Progress
    base : pathlib.Path, optional
        Folder that a checkpoint's path starts from. Default: the working directory.

    Returns
    -------
    Outcome
        Counts `images`, `segments`, `doubted` ones by reason and `dropped` ones; by class
        `presence`, the share of images that have it, and `mean_area`, its mean share of the
        image's pixels where it is present; `content`, a hash of all rows; of a fitted segmenter
        `mean_iou` with its interval, and by class.

    Raises
    ------
    FileNotFoundError
        If the images stage has not run.
    TaxonomyError
        If the taxonomy does not name one of the classes.
    CheckpointError
        If a checkpoint cannot be used.
    TooFewAnnotated
        If a segmenter cannot be fitted.
    """
    images = store.summary("images")
    classes = {int(key): name for key, name in images["classes"].items()}
    taxonomy.check_covers(classes.values())
    kept = {i: name for i, name in classes.items() if name not in taxonomy.ignored}
    described = settings.model_dump(exclude={"device"})
    key = fingerprint(
        VERSION, images["content"], described, kept, *_state(settings, taxonomy, base)
    )
    work = _Work(store, settings, taxonomy, kept, base or Path(), key, progress)
    return run_stage(store, "segments", key, work.run, progress)


def _state(settings: SegmentationSettings, taxonomy: Taxonomy, base: Path | None) -> list[object]:
    if isinstance(settings, AnnotatedSegmentation):
        return []
    from heml.segmentation.segmenter import checkpoint_state, resolve_checkpoint

    state: list[object] = [taxonomy.describe()["leaves"]]
    if settings.checkpoint is not None:
        state.append(checkpoint_state(resolve_checkpoint(settings.checkpoint, base or Path())))
    return state


class _Work:
    """One pass over the images."""

    def __init__(
        self,
        store: Store,
        settings: SegmentationSettings,
        taxonomy: Taxonomy,
        classes: dict[int, str],
        base: Path,
        key: str,
        progress: Progress,
    ) -> None:
        self._store, self._settings, self._taxonomy = store, settings, taxonomy
        self._classes, self._base, self._key, self._progress = classes, base, key, progress
        self._fitted: dict[str, Any] = {}

    def run(self) -> tuple[dict[str, Any], list[Path]]:
        settings = self._settings
        names: Iterable[str]
        if isinstance(settings, AnnotatedSegmentation):
            rows, names = self._annotated(), self._classes.values()
        else:
            segmenter = self._segmenter(settings)
            rows, names = self._predicted(segmenter, settings), self._taxonomy.leaves
        summary = self._write(rows, list(names))
        return summary | self._fitted, [self._store.segments]

    def _annotated(self) -> Iterator[Rows]:
        batches = iterate_images(self._store, ["image_id", "mask"])
        images = (image for batch in batches for image in batch.to_pylist())
        return map_ahead(self._rows_of_mask, images)

    def _rows_of_mask(self, image: dict[str, Any]) -> Rows:
        if image["mask"] is None:
            raise ValueError(
                f"image '{image['image_id']}' has no mask; remove the store's images and run again"
            )
        return segment_rows(image["image_id"], decode_mask(image["mask"]), self._classes)

    def _segmenter(self, settings: PretrainedSegmentation | TrainedSegmentation) -> Segmenter:
        from heml.segmentation.segmenter import load_segmenter, resolve_checkpoint

        checkpoint = settings.checkpoint and resolve_checkpoint(settings.checkpoint, self._base)
        if isinstance(settings, PretrainedSegmentation):
            assert checkpoint is not None
            segmenter = load_segmenter(
                checkpoint,
                self._taxonomy,
                settings.classes,
                settings.licence,
                settings.allow_pickle,
                settings.device,
            )
        else:
            from heml.segmentation.trained import fitted_segmenter

            fitted = fitted_segmenter(
                self._store,
                self._key,
                settings,
                self._leaf_of_class(),
                list(self._taxonomy.leaves),
                checkpoint,
                self._progress,
            )
            held_out = fitted.held_out
            self._fitted = {
                "mean_iou": round(held_out.value, 6),
                "mean_iou_low": round(held_out.low, 6),
                "mean_iou_high": round(held_out.high, 6),
                "iou": {n: v if v is None else round(v, 6) for n, v in held_out.by_class.items()},
                "held_out_images": held_out.images,
                "fitted_images": fitted.images,
            }
            segmenter = load_segmenter(
                str(fitted.folder),
                self._taxonomy.at_leaf_level(),
                {},
                None,
                allow_pickle=False,
                device=settings.device,
                name=f"trained:{self._key}",
            )
        self._fitted["segmenter"] = segmenter.name
        self._fitted["segmenter_licence"] = segmenter.licence
        return segmenter

    def _leaf_of_class(self) -> dict[int, str]:
        leaf_of = {c: leaf for leaf, names in self._taxonomy.leaves.items() for c in names}
        return {i: leaf_of[name] for i, name in self._classes.items()}

    def _predicted(
        self, segmenter: Segmenter, settings: PretrainedSegmentation | TrainedSegmentation
    ) -> Iterator[Rows]:
        keep_masks = isinstance(settings, TrainedSegmentation) and settings.apply == "missing"
        leaves = dict(enumerate(self._taxonomy.leaves))
        number = {leaf: i for i, leaf in leaves.items()}
        lut = np.full(256, 255, np.uint8)
        for i, leaf in self._leaf_of_class().items():
            lut[i] = number[leaf]
        columns = ["image_id", "image", "mask"]
        for batch in iterate_images(self._store, columns, settings.batch_size):
            images = batch.to_pylist()
            unknown = [i for i in images if i["mask"] is None or not keep_masks]
            pixels = list(map_ahead(lambda i: decode_image(i["image"]["bytes"]), unknown))
            predicted = iter(segmenter.predict(pixels) if pixels else [])
            for image in images:
                image_id = image["image_id"]
                if image["mask"] is not None and keep_masks:
                    yield segment_rows(image_id, lut[decode_mask(image["mask"])], leaves)
                    continue
                found = next(predicted)
                yield segment_rows(
                    image_id,
                    found.ids,
                    leaves,
                    found.confidence,
                    segmenter.name,
                    segmenter.licence,
                )

    def _write(self, images: Iterable[Rows], names: list[str]) -> dict[str, Any]:
        count = segments = dropped = 0
        presence: Counter[str] = Counter()
        doubts: Counter[str] = Counter()
        area: defaultdict[str, float] = defaultdict(float)
        content = hashlib.sha256()
        pace = Pace(self._progress)
        settings = self._settings
        with write_aside(self._store.segments) as folder, ShardWriter(folder, SEGMENTS) as writer:
            for rows in images:
                for row in rows:
                    row["doubt"] = doubt(row, settings.least_area, settings.least_confidence)
                    doubts.update([row["doubt"]] if row["doubt"] else [])
                if settings.doubted == "drop":
                    trusted = [row for row in rows if row["doubt"] is None]
                    dropped += len(rows) - len(trusted)
                    rows = trusted
                writer.write(rows, sum(len(row["rle"]) + 64 for row in rows))
                for row in rows:
                    presence[row["class_name"]] += 1
                    area[row["class_name"]] += row["area"] / (row["height"] * row["width"])
                content.update(json.dumps(rows).encode())
                count += 1
                segments += len(rows)
                pace.tell(f"segments: {count} images, {segments} segments")
        return {
            "images": count,
            "segments": segments,
            "doubted": dict(sorted(doubts.items())),
            "dropped": dropped,
            "presence": {name: round(presence[name] / max(count, 1), 6) for name in names},
            "mean_area": {
                name: round(area[name] / presence[name], 6) for name in names if presence[name]
            },
            "content": content.hexdigest(),
            "images_per_second": pace.rate(count),
        }
