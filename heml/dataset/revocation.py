"""Revoking images: what must no longer be used is recorded, with the store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath

from heml.dataset.export import EXPORT
from heml.dataset.purge import purge_images
from heml.images.images_table import iterate_images
from heml.images.revoked import read_revoked
from heml.metrics.node_views import discard_all_views
from heml.sources.ingest import quarantined
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.store import Store


class RevokeError(ValueError):
    """Ids that cannot be revoked; the message names them and says what to do."""


def revoke(store: Store, image_ids: Sequence[str]) -> list[str]:
    """Revokes images: from now on they are used nowhere. The one place that does it.

    What shows them is withdrawn first: report, dataset and exports, also from an object store and,
    by their next `pull`, from other machines. Then they leave the tables that the stages work on.
    Ids that are revoked already are no error; a revocation that was interrupted is completed.

    Returns
    -------
    list of str
        The ids that were not revoked before, sorted.

    Raises
    ------
    RevokeError
        If an id is of no stored image; then nothing is revoked. Of a copy that was refused when
        the source was read, the message names the image that it is a copy of.
    FileNotFoundError
        If the images stage has not run.
    """
    before = read_revoked(store)
    wanted = {image_id for image_id in image_ids if image_id not in before}
    found: dict[str, str] = {}
    if wanted:
        for batch in iterate_images(store, ["image_id", "sha256"]):
            ids, hashes = (batch.column(name).to_pylist() for name in ("image_id", "sha256"))
            found |= {i: h for i, h in zip(ids, hashes, strict=True) if i in wanted}
    if unknown := sorted(wanted - set(found)):
        few = ", ".join(f"'{i}'" for i in unknown[:5]) + (" …" if len(unknown) > 5 else "")
        made = [i for i in unknown if i.startswith("recombined-")]
        hint = "; a recombined image goes with its host or donor: name that one" if made else ""
        if copies := list(islice(_copies(store, unknown), 5)):
            hint += f"; {', '.join(copies)}: name the one that it is a copy of"
        raise RevokeError(
            f"{len(unknown)} of {len(set(image_ids))} ids are of no input image: {few}{hint}; "
            "ids are the values of the column image_id. Nothing was revoked"
        )
    images = dict(sorted((before.images | found).items()))
    key = fingerprint(images)
    if found:
        # Recorded before anything else: whatever happens now, no run uses them any more.
        with write_aside(store.revoked) as aside:
            aside.write_text(json.dumps({"times": before.times + 1, "images": images}, indent=1))
    if images and store.finished("revoked", key) is None:
        _withdraw(store)
        purge_images(store, images.keys())
        # A stage like any other, so that every machine obeys it.
        store.finish("revoked", key, {"images": len(images)}, [store.revoked])
    return sorted(found)


def _withdraw(store: Store) -> None:
    """Removes all that people and training read."""
    store.withdraw("report", store.report)
    store.withdraw("dataset_card", store.rebalanced_dataset)
    store.withdraw("rebalanced_dataset", store.rebalanced_dataset)
    exports = {stage.removeprefix(EXPORT) for stage in store.stages() if stage.startswith(EXPORT)}
    if store.exports.exists():
        exports |= {folder.name for folder in store.exports.iterdir()}
    for name in sorted(exports):
        store.withdraw(f"{EXPORT}{name}", store.exports / name)
    discard_all_views(store)


def _copies(store: Store, image_ids: Sequence[str]) -> Iterator[str]:
    """Which of the ids are files that were refused because their content was there already."""
    wanted = set(image_ids)
    for row in quarantined(store):
        file = PurePosixPath(row["file_name"])
        # Ids are file names without their ending, or the input's own.
        names = {str(file), str(file.with_suffix("")), file.stem}
        if row["reason"] == "duplicate_content" and wanted & names:
            yield f"'{file}' was refused as a copy, {row['detail']}"
