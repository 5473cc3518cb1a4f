"""The `segments` stage: one mask per semantic class, by any registered segmenter."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.segments import DOUBTS, SEGMENTS
from heml.compute.cluster_map import cluster_map
from heml.compute.processes import Job
from heml.compute.throttled_progress import ThrottledProgress
from heml.segmentation.cache import EarlierSegments, KeyWriter, Rows, Segmented
from heml.segmentation.row_group_job import shards
from heml.segmentation.segment_rows import doubt
from heml.segmentation.segmenter import (
    SEGMENTERS,
    SegmentationContext,
    SegmentationJob,
    Segmenter,
)
from heml.segmentation.segmenter_settings import SegmenterSettings
from heml.segmentation.stability_sample import stability_state, write_stability
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.sharded_parquet import ShardWriter
from heml.storage.stage import Outcome, run_stage

if TYPE_CHECKING:
    from heml.segmentation.corrections import Corrections

VERSION = 4


def segment(run: RunContext, settings: SegmenterSettings, base: Path | None = None) -> Outcome:
    """Writes the store's tables `segments` and, where they are found, `segment_stability`.

    Annotated segments are named by their class, segments of a network by their leaf: what comes
    after uses `taxonomy.at_leaf_level()` then.

    Parameters
    ----------
    run : RunContext
        Classes that its taxonomy ignores get no segment.
    settings : SegmenterSettings
        Of a registered segmenter.
    base : pathlib.Path, optional
        Folder that a checkpoint's path starts from. Default: the working directory.

    Returns
    -------
    Outcome
        Counts `images`, of which `segmented` now and `kept` (image, mask and everything that
        segments are made with are those of the store's earlier table), `segments`, `doubted` ones
        by reason and `dropped` ones; by class `presence`, the share of images that have it, and
        `mean_area`, its mean share of the image's pixels where it is present; `content`, a hash of
        all rows; `corrected` images, where the settings name corrections; where segments are
        found, `mean_confidence` by class, and what `write_stability` says; of a fitted segmenter
        `mean_iou` with its interval, and by class; of pseudo-labels how many there are, whose, and
        how well they agree with the masks.

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
    FormError
        If corrections are missing, or name segments that there are not.
    """
    store, taxonomy = run.store, run.taxonomy
    images = store.summary("images")
    classes = {int(key): name for key, name in images["classes"].items()}
    taxonomy.check_covers(classes.values())
    kept = {i: name for i, name in classes.items() if name not in taxonomy.ignored}
    segmenter, base = SEGMENTERS[settings.kind], base or Path()
    how = fingerprint(
        VERSION, settings.described(), kept, *segmenter.state(settings, taxonomy, base)
    )
    corrections = None
    if settings.corrections is not None:
        from heml.segmentation.corrections import Corrections

        corrections = Corrections(base / settings.corrections)
    corrected = () if corrections is None else (corrections.digest_of_all(),)
    key = fingerprint(how, images["content"], *corrected, *stability_state(settings))
    context = SegmentationContext(store, taxonomy, kept, base, how, run.progress)
    return run_stage(
        store,
        "segments",
        key,
        lambda: _Work(segmenter, settings, context, corrections).run(),
        run.progress,
    )


class _Work:
    """One pass over the images."""

    def __init__(
        self,
        segmenter: Segmenter,
        settings: SegmenterSettings,
        context: SegmentationContext,
        corrections: Corrections | None,
    ) -> None:
        if (content := segmenter.learned_from(settings, context.store)) is not None:
            context = replace(context, key=fingerprint(context.key, content))
        self._segmenter, self._settings, self._context = segmenter, settings, context
        self._earlier = EarlierSegments(context.store, context.key)
        self._corrections = corrections
        self._corrected = 0

    def run(self) -> tuple[dict[str, Any], list[Path]]:
        job = self._segmenter.job(self._settings, self._context)
        summary = self._write(self._segmented(job), job)
        if self._corrections is not None:
            summary["corrected"] = self._corrected
        if absent := [name for name, share in summary["presence"].items() if not share]:
            self._context.progress(f"segments: found in no image: {', '.join(absent)}")
        stability = write_stability(job, self._settings, self._context, self._corrections or ())
        outputs = [self._context.store.segments]
        if stability:
            outputs.append(self._context.store.segment_stability)
        return {**summary, **stability, **job.facts}, outputs

    def _segmented(self, job: SegmentationJob) -> Iterator[Segmented]:
        """All images in stored order; those that an earlier pass segmented are its own."""
        todo = shards(self._context.store, self._earlier, self._corrections)
        work = cluster_map(Job(self._context.key, job.make, self._context.store.pull), todo)
        for shard, found in work:
            for image, rows in zip(shard.images, found, strict=True):
                if self._corrections is not None and image.image_id in self._corrections:
                    self._corrected += 1
                    corrected = self._corrections.rows(image.image_id, job.names)
                    yield Segmented(image.image_id, image.key, corrected)
                elif rows is None:
                    yield self._earlier.get(image.image_id, image.key)
                else:
                    yield Segmented(image.image_id, image.key, rows)

    def _write(self, images: Iterable[Segmented], job: SegmentationJob) -> dict[str, Any]:
        names, found_by = job.names, job.predictor and job.predictor.name
        count = segments = dropped = reused = 0
        presence: Counter[str] = Counter()
        doubts: Counter[str] = Counter()
        area: defaultdict[str, float] = defaultdict(float)
        sure: defaultdict[str, float] = defaultdict(float)
        found: Counter[str] = Counter()
        content = hashlib.sha256()
        throttled = ThrottledProgress(self._context.progress)
        with (
            write_aside(self._context.store.segments) as folder,
            ShardWriter(folder, SEGMENTS) as writer,
            KeyWriter(folder, self._context.key) as keys,
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
                    if row["segmenter"] == found_by:
                        sure[row["class_name"]] += row["confidence"]
                        found[row["class_name"]] += 1
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
            **({} if found_by is None else {"mean_confidence": _means(sure, found, names)}),
            "content": content.hexdigest(),
            "images_per_second": throttled.rate(count),
        }

    def _trusted(self, image: Segmented) -> tuple[Rows, list[int]]:
        """Rows that are kept, with their doubts, and how many were left out for each."""
        if image.dropped is not None:
            return image.rows, image.dropped
        if self._corrections is not None and image.image_id in self._corrections:
            return image.rows, [0] * len(DOUBTS)  # somebody looked at them
        settings = self._settings
        for row in image.rows:
            row["doubt"] = doubt(row, settings.least_area, settings.least_confidence)
        if settings.doubted == "keep":
            return image.rows, [0] * len(DOUBTS)
        trusted = [row for row in image.rows if row["doubt"] is None]
        found = Counter(row["doubt"] for row in image.rows)
        return trusted, [found[reason] for reason in DOUBTS]


def _means(
    totals: Mapping[str, float], counts: Mapping[str, int], names: Iterable[str]
) -> dict[str, float]:
    return {name: round(totals[name] / counts[name], 6) for name in names if counts.get(name)}
