"""Taking images out of the tables that the stages work on, before the next run writes them anew."""

from __future__ import annotations

from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from heml.segmentation.cache import copy_keys
from heml.storage.atomic_write import write_aside
from heml.storage.manifest import DamagedManifest, read_manifest
from heml.storage.store import Store

#: The columns of a table that name images.
_NAMES = {
    "images": ("image_id",),
    "segments": ("image_id",),
    "recombined_samples": ("host_id", "donor_id"),
}


def purge_images(store: Store, image_ids: Set[str]) -> None:
    """Removes the images, their segments, and every sample that has one as host or donor.

    Counts of the stages follow; their fingerprints stay, so that what is left is read until the
    next run, which reads the source again.
    """
    counts = {}
    folders = (store.images, store.segments, store.recombined_samples)
    for stage, folder in zip(_NAMES, folders, strict=True):
        if folder.exists():
            counts[stage] = _without(folder, _NAMES[stage], image_ids)
    # Together at last: what reads images and segments side by side finds both changed.
    for stage, folder in zip(_NAMES, folders, strict=True):
        if counts.get(stage):
            outputs = [folder, store.quarantine] if stage == "images" else [folder]
            if stage == "segments" and store.segment_stability.exists():
                _without_stability(store.segment_stability, image_ids)
                outputs.append(store.segment_stability)
            # The files are no longer what this manifest lists.
            try:
                before = read_manifest(store.root, stage)
            except (FileNotFoundError, DamagedManifest):
                continue  # not finished, as before
            summary = _counted[stage](before.summary, counts[stage])
            store.finish(stage, before.fingerprint, summary, outputs)


def _without(folder: Path, names: tuple[str, ...], image_ids: Set[str]) -> list[dict[str, Any]]:
    """Writes a table again without the rows that name an image; the small columns of these."""
    gone: list[dict[str, Any]] = []
    unwanted = pa.array(sorted(image_ids), pa.string())
    with write_aside(folder) as aside:
        aside.mkdir()
        for path in sorted(folder.glob("*.parquet")):
            with (
                pq.ParquetFile(path) as file,
                pq.ParquetWriter(
                    aside / path.name,
                    file.schema_arrow,
                    compression="zstd",
                    use_dictionary=False,
                    write_statistics=False,
                ) as writer,
            ):
                for number in range(file.num_row_groups):
                    table = file.read_row_group(number)
                    named = pa.array([False] * len(table))
                    for name in names:
                        named = pc.or_(named, pc.is_in(table[name], unwanted))
                    small = [f.name for f in table.schema if not pa.types.is_nested(f.type)]
                    gone += table.select(small).filter(named).to_pylist()
                    kept = table.filter(pc.invert(named))
                    if len(kept):
                        writer.write_table(kept, row_group_size=len(kept))
        copy_keys(folder, aside, image_ids)
    return gone


def _without_stability(path: Path, image_ids: Set[str]) -> None:
    """Writes a small table in one file again without the rows of these images."""
    table = pq.read_table(path)
    unwanted = pc.is_in(table["image_id"], pa.array(sorted(image_ids), pa.string()))
    with write_aside(path) as aside:
        pq.write_table(table.filter(pc.invert(unwanted)), aside, compression="zstd")


def _fewer_images(summary: dict[str, Any], gone: list[dict[str, Any]]) -> dict[str, Any]:
    by_split = dict(summary.get("accepted_by_split", {}))
    for row in gone:
        if row["split"] in by_split:
            by_split[row["split"]] -= 1
    counts = {"accepted": -len(gone), "excluded": len(gone), "revoked": len(gone)}
    changed = {name: summary.get(name, 0) + number for name, number in counts.items()}
    return {**summary, **changed, "accepted_by_split": by_split}


def _fewer_segments(summary: dict[str, Any], gone: list[dict[str, Any]]) -> dict[str, Any]:
    images = len({row["image_id"] for row in gone})
    changed = {"images": -images, "segments": -len(gone)}
    return {**summary, **{name: summary.get(name, 0) + n for name, n in changed.items()}}


def _fewer_samples(summary: dict[str, Any], gone: list[dict[str, Any]]) -> dict[str, Any]:
    accepted = sum(bool(row["accepted"]) for row in gone)
    return {**summary, "descendants": summary.get("descendants", 0) + accepted}


_counted: dict[str, Callable[[dict[str, Any], list[dict[str, Any]]], dict[str, Any]]] = {
    "images": _fewer_images,
    "segments": _fewer_segments,
    "recombined_samples": _fewer_samples,
}
