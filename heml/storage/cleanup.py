"""Removing what nobody needs: halves of killed processes, and artifacts that nothing uses now.

What is in use stays: the current artifacts of every stage, what a living process writes, and
everything of a stage that a process is at.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from heml.storage.atomic_write import is_abandoned, older_than
from heml.storage.locks import locked
from heml.storage.store import Store


@dataclass(frozen=True)
class Removable:
    """A file or folder that can go.

    Parameters
    ----------
    path : pathlib.Path
    why : str
    lock : pathlib.Path, optional
        What a process holds that may be using it.
    """

    path: Path
    why: str
    lock: Path | None = None

    def bytes(self) -> int:
        """Room that it takes."""
        if not self.path.is_dir():
            return self.path.stat().st_size
        return sum(p.stat().st_size for p in self.path.rglob("*") if p.is_file())


class Busy(Exception):
    """A process is at the stage."""


def removable(store: Store, days: float) -> Iterator[Removable]:
    """What could be removed from a store.

    Parameters
    ----------
    days : float
        Artifacts of other settings or images stay for so long: a recipe that goes back to them
        finds them.
    """
    for folder, names, files in os.walk(store.root):
        for name in [*names, *files]:
            path = Path(folder, name)
            with suppress(FileNotFoundError):
                if is_abandoned(path):
                    yield Removable(path, "left by a process that is gone")
        names[:] = [name for name in names if not name.startswith(".")]
    yield from _earlier_nodes(store, days)
    yield from _earlier_segmenters(store, days)
    for path in sorted(store.node_views.glob("[!.]*")):
        if older_than(path, days):
            yield Removable(path, "views for a training that did not happen")


def _earlier_nodes(store: Store, days: float) -> Iterator[Removable]:
    for manifest in sorted((store.root / "manifests" / "metric").glob("*.json")):
        node = manifest.stem
        stage = f"metric/{node}"
        lineage = store.summary(stage).get("lineage", {})
        used = {store.fingerprint(stage), lineage.get("weights")}
        for folder in sorted(store.node(node).glob("*")):
            hidden = folder.name.startswith(".")
            if (
                folder.is_dir()
                and not hidden
                and folder.name not in used
                and older_than(folder, days)
            ):
                yield Removable(folder, f"earlier artifacts of {stage}", store.lock(stage))


def _earlier_segmenters(store: Store, days: float) -> Iterator[Removable]:
    try:
        used = str(store.summary("segments").get("segmenter", "")).rpartition(":")[2]
    except FileNotFoundError:
        return
    for folder in sorted(store.segmenter.glob("*")):
        hidden = folder.name.startswith(".")
        if folder.is_dir() and not hidden and folder.name != used and older_than(folder, days):
            yield Removable(folder, "an earlier fitted segmenter", store.lock("segments"))


def remove(found: Removable) -> bool:
    """Removes it, unless a process is at its stage.

    Returns
    -------
    bool
        Whether it is gone.
    """
    try:
        if found.lock is None:
            _delete(found.path)
        else:
            with locked(found.lock, _busy):
                _delete(found.path)
    except Busy:
        return False
    return True


def _busy() -> None:
    raise Busy


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
