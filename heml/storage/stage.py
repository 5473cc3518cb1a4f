"""Running one stage once: the shared frame around every stage's work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heml.compute.progress import Progress
from heml.storage.locks import locked
from heml.storage.store import Store


@dataclass(frozen=True)
class Outcome:
    """What a stage reports.

    Parameters
    ----------
    summary : dict
        Counts and measures, JSON-like; numbers worth plotting over runs at the top level.
    reused : bool
        True if an earlier result with the same fingerprint was kept and nothing was computed.
    """

    summary: dict[str, Any]
    reused: bool


def at_stage(store: Store, stage: str, progress: Progress) -> AbstractContextManager[None]:
    """No other process of this machine is at the stage meanwhile: one that wants to be waits."""
    return locked(
        store.lock(stage),
        lambda: progress(f"{stage}: waiting for another run to finish this stage"),
    )


def run_stage(
    store: Store,
    stage: str,
    fingerprint: str,
    compute: Callable[[], tuple[dict[str, Any], list[Path]]],
    progress: Progress,
) -> Outcome:
    """Computes a stage unless it is finished under this fingerprint.

    Parameters
    ----------
    compute : callable
        Does the work; returns the summary and the files and folders that it wrote. No other
        process of this machine computes the stage meanwhile: one that wants to waits, and then
        finds it finished.
    """
    with at_stage(store, stage, progress):
        summary = store.finished(stage, fingerprint)
        if summary is not None:
            progress(f"{stage}: unchanged, kept")
            return Outcome(summary, reused=True)
        before = store.revocations
        summary, outputs = compute()
        store.finish(stage, fingerprint, summary, outputs, before)
        return Outcome(summary, reused=False)
