"""The `segments` stage: one mask per semantic class, from annotations or from a network."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from data_contracts.segments import DOUBTS, SEGMENTS
from heml.compute.cluster_map import cluster_map
from heml.compute.processes import Job
from heml.compute.progress import Progress
from heml.compute.throttled_progress import ThrottledProgress
from heml.images.images_table import iterate_images
from heml.segmentation.cache import EarlierSegments, KeyWriter, Rows, Segmented, image_key
from heml.segmentation.row_group_job import Found, FromMasks, FromNetwork, Loader, Shard, shards
from heml.segmentation.segment_rows import doubt
from heml.segmentation.segmentation_settings import (
    AnnotatedSegmentation,
    PretrainedSegmentation,
    SegmentationSettings,
    TrainedSegmentation,
)
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.sharded_parquet import ShardWriter
from heml.storage.stage import Outcome, run_stage
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

VERSION = 3


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
        Counts `images`, of which `segmented` now and `kept` (image, mask and everything that
        segments are made with are those of the store's earlier table), `segments`, `doubted` ones
        by reason and `dropped` ones; by class `presence`, the share of images that have it, and
        `mean_area`, its mean share of the image's pixels where it is present; `content`, a hash of
        all rows; of a fitted segmenter `mean_iou` with its interval, and by class.

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
    how = fingerprint(VERSION, described, kept, *_state(settings, taxonomy, base))
    key = fingerprint(how, images["content"])
    work = _Work(store, settings, taxonomy, kept, base or Path(), how, progress)
    return run_stage(store, "segments", key, work.run, progress)


def _state(settings: SegmentationSettings, taxonomy: Taxonomy, base: Path | None) -> list[object]:
    if isinstance(settings, AnnotatedSegmentation):
        return []
    from heml.segmentation.segmenter import checkpoint_state, resolve_checkpoint

    state: list[object] = [taxonomy.describe()["leaves"]]
    if isinstance(settings, TrainedSegmentation):
        from heml.segmentation import fit

        state.append(fit.VERSION)
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
        how: str,
        progress: Progress,
    ) -> None:
        self._store, self._settings, self._taxonomy = store, settings, taxonomy
        self._classes, self._base, self._progress = classes, base, progress
        if isinstance(settings, TrainedSegmentation):
            # Fitted on them: another such image is another segmenter.
            how = fingerprint(how, _annotated_content(store))
        self._how, self._earlier = how, EarlierSegments(store, how)
        self._fitted: dict[str, Any] = {}

    def run(self) -> tuple[dict[str, Any], list[Path]]:
        settings = self._settings
        make: Callable[[], Callable[[Shard], Found]]
        if isinstance(settings, AnnotatedSegmentation):
            make, names = partial(FromMasks, self._store, self._classes), [*self._classes.values()]
        else:
            make, names = self._network(settings), [*self._taxonomy.leaves]
        summary = self._write(self._segmented(make), names)
        return summary | self._fitted, [self._store.segments]

    def _segmented(self, make: Callable[[], Callable[[Shard], Found]]) -> Iterator[Segmented]:
        """All images in stored order; those that an earlier pass segmented are its own."""
        work = cluster_map(Job(self._how, make), shards(self._store, self._earlier))
        for shard, found in work:
            for image, rows in zip(shard.images, found, strict=True):
                if rows is None:
                    yield self._earlier.get(image.image_id, image.key)
                else:
                    yield Segmented(image.image_id, image.key, rows)

    def _network(
        self, settings: PretrainedSegmentation | TrainedSegmentation
    ) -> Callable[[], Callable[[Shard], Found]]:
        load = self._loader(settings)
        self._fitted["segmenter"] = load().name
        self._fitted["segmenter_licence"] = load().licence
        return partial(
            FromNetwork,
            self._store,
            load,
            list(self._taxonomy.leaves),
            self._leaf_of_class(),
            isinstance(settings, TrainedSegmentation) and settings.apply == "missing",
            settings.batch_size,
        )

    def _loader(self, settings: PretrainedSegmentation | TrainedSegmentation) -> Loader:
        from heml.segmentation.segmenter import resolve_checkpoint

        checkpoint = settings.checkpoint and resolve_checkpoint(settings.checkpoint, self._base)
        if isinstance(settings, PretrainedSegmentation):
            assert checkpoint is not None
            return Loader(
                checkpoint=checkpoint,
                taxonomy=self._taxonomy,
                overrides=settings.classes,
                licence=settings.licence,
                allow_pickle=settings.allow_pickle,
                device=settings.device,
            )
        from heml.segmentation.segformer import fitted_segmenter

        fitted = fitted_segmenter(
            self._store,
            self._how,
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
        return Loader(
            checkpoint=str(fitted.folder),
            taxonomy=self._taxonomy.at_leaf_level(),
            overrides={},
            licence=None,
            allow_pickle=False,
            device=settings.device,
            name=f"trained:{self._how}",
        )

    def _leaf_of_class(self) -> dict[int, str]:
        leaf_of = {c: leaf for leaf, names in self._taxonomy.leaves.items() for c in names}
        return {i: leaf_of[name] for i, name in self._classes.items()}

    def _write(self, images: Iterable[Segmented], names: list[str]) -> dict[str, Any]:
        count = segments = dropped = reused = 0
        presence: Counter[str] = Counter()
        doubts: Counter[str] = Counter()
        area: defaultdict[str, float] = defaultdict(float)
        content = hashlib.sha256()
        throttled = ThrottledProgress(self._progress)
        with (
            write_aside(self._store.segments) as folder,
            ShardWriter(folder, SEGMENTS) as writer,
            KeyWriter(folder, self._how) as keys,
        ):
            for image in images:
                rows, left_out = self._trusted(image)
                keys.write(image.image_id, image.key, left_out)
                reused += image.dropped is not None
                dropped += sum(left_out)
                doubts.update(dict(zip(DOUBTS, left_out, strict=True)))
                doubts.update(row["doubt"] for row in rows if row["doubt"])
                writer.write(rows, sum(len(row["rle"]) + 64 for row in rows))
                for row in rows:
                    presence[row["class_name"]] += 1
                    area[row["class_name"]] += row["area"] / (row["height"] * row["width"])
                content.update(json.dumps(rows).encode())
                count += 1
                segments += len(rows)
                throttled.tell(f"segments: {count} images, {segments} segments")
        return {
            "images": count,
            "segmented": count - reused,
            "kept": reused,
            "segments": segments,
            "doubted": {reason: number for reason, number in sorted(doubts.items()) if number},
            "dropped": dropped,
            "presence": {name: round(presence[name] / max(count, 1), 6) for name in names},
            "mean_area": {
                name: round(area[name] / presence[name], 6) for name in names if presence[name]
            },
            "content": content.hexdigest(),
            "images_per_second": throttled.rate(count),
        }

    def _trusted(self, image: Segmented) -> tuple[Rows, list[int]]:
        """Rows that are kept, with their doubts, and how many were left out for each."""
        if image.dropped is not None:
            return image.rows, image.dropped
        settings = self._settings
        for row in image.rows:
            row["doubt"] = doubt(row, settings.least_area, settings.least_confidence)
        if settings.doubted == "keep":
            return image.rows, [0] * len(DOUBTS)
        trusted = [row for row in image.rows if row["doubt"] is None]
        found = Counter(row["doubt"] for row in image.rows)
        return trusted, [found[reason] for reason in DOUBTS]


def _annotated_content(store: Store) -> str:
    """Of the images that a segmenter is fitted on and measured with."""
    content = hashlib.sha256()
    for batch in iterate_images(store, ["image_id", "split", "sha256", "mask"]):
        for row in batch.to_pylist():
            if row["split"] == "train" and row["mask"] is not None:
                content.update(row["image_id"].encode() + image_key(row["sha256"], row["mask"]))
    return content.hexdigest()
