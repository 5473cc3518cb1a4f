"""Writing the table of samples: planned edits are tried until no group lacks any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from data_contracts import RECOMBINED_SAMPLES
from heml.compute.cluster_map import cluster_map
from heml.compute.processes import Job
from heml.compute.progress import Progress
from heml.compute.throttled_progress import ThrottledProgress
from heml.recombination.judging.judge import MeasuredLimits
from heml.recombination.recombiner import Recombiner
from heml.recombination.refusals import IDENTITY_EDIT
from heml.recombination.rounds import Slot, is_identity, rounds, slot_of, slots_of, wanted_samples
from heml.storage.sharded_parquet import ShardWriter

#: Edits that are made together.
BATCH = 32

#: Gives the job of making edits, by their places in the plan, in another process.
Elsewhere = Callable[[MeasuredLimits], Job[Sequence[int], list[dict[str, Any]]]]


def write_samples(
    folder: Path,
    recombiner: Recombiner,
    groups: pd.DataFrame,
    progress: Progress,
    elsewhere: Elsewhere | None = None,
    processes: int = 1,
) -> dict[str, Any]:
    """Tries planned edits until no group lacks any, and writes each with its verdict.

    Parameters
    ----------
    folder : pathlib.Path
        Of the table; it is created here.
    recombiner : Recombiner
    groups : DataFrame
        The `planned_groups` table.
    progress : Progress
    elsewhere : callable, optional
        Gives the job of `Recombiner.attempt` in other processes or machines, from what was
        measured of real images here. By default all is done in this process.
    processes : int
        Of this machine.

    Returns
    -------
    dict
        The stage's summary.
    """
    tally = _Tally(groups, slots_of(recombiner.plan))
    throttled = ThrottledProgress(progress)
    with ShardWriter(folder, RECOMBINED_SAMPLES) as writer:
        for rows in _attempts(recombiner, tally, elsewhere, processes):
            for row in rows:
                tally.decide(row)
                writer.write([row], len(row["image"]["bytes"]))
            throttled.tell(f"recombined_samples: {tally.so_far()}")
    return tally.summary() | {
        "gates": recombiner.gates.describe(),
        "images_per_second": throttled.rate(tally.tried),
    }


def _attempts(
    recombiner: Recombiner, tally: _Tally, elsewhere: Elsewhere | None, processes: int
) -> Iterator[list[dict[str, Any]]]:
    for places in rounds(tally.slots, tally.missing):
        batches = [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
        # Once here, not once in every process; and the summary states the limits.
        recombiner.calibrate(batches)
        if elsewhere is None:
            yield from map(recombiner.attempt, batches)
        else:
            yield from cluster_map(elsewhere(recombiner.gates.limits), batches, processes)


class _Tally:
    """Counts what is accepted and refused, and what each slot still lacks."""

    def __init__(self, groups: pd.DataFrame, slots: Sequence[Slot]) -> None:
        self.slots = slots
        self.missing = wanted_samples(groups)
        self.tried = 0
        self._wanted = self.missing.total()
        identity = [slot for slot in slots if is_identity(slot)]
        self._identity_edits = len(identity)
        self.missing.update(identity)
        self._accepted: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def decide(self, row: dict[str, Any]) -> None:
        """Counts a judged sample, and sets whether it is accepted."""
        self.tried += 1
        slot = slot_of(row)
        if is_identity(slot):
            # What its gates measured is kept; the sample is no new one.
            row["reason"] = IDENTITY_EDIT
            self.missing[slot] -= 1
            return
        row["accepted"] = not row["reason"]
        self.missing[slot] -= row["accepted"]
        if row["accepted"]:
            self._accepted[row["operator"]] += 1
        else:
            self._refused[row["reason"]] += 1

    def so_far(self) -> str:
        """One line for who waits."""
        return f"{self._accepted.total()}/{self._wanted} accepted, {self._refused.total()} refused"

    def summary(self) -> dict[str, Any]:
        accepted, refused = self._accepted.total(), self._refused.total()
        return {
            "wanted": self._wanted,
            "tried": self.tried,
            "accepted": accepted,
            "refused": refused,
            "accepted_by_operator": dict(sorted(self._accepted.items())),
            "refused_by_reason": dict(sorted(self._refused.items())),
            "missing": self._wanted - accepted,
            "identity_edits": self._identity_edits,
            "words": f"{accepted} of {self._wanted} wanted samples accepted, {refused} refused",
        }
