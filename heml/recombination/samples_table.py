"""Writing the table of samples: planned edits are tried, and the best of each group are kept."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data_contracts import RECOMBINED_SAMPLES
from heml.compute.cluster_map import cluster_map
from heml.compute.processes import Job
from heml.compute.progress import Progress
from heml.compute.throttled_progress import ThrottledProgress
from heml.images.images_table import ImageReader
from heml.recombination.critic.choose import choose_samples
from heml.recombination.judging.judge import MeasuredLimits
from heml.recombination.recombiner import Recombiner
from heml.recombination.refusals import IDENTITY_EDIT
from heml.recombination.rounds import Slot, is_identity, rounds, slot_of, slots_of, wanted_samples
from heml.storage.sharded_parquet import ShardWriter

#: Edits that are made together.
BATCH = 32
#: Samples that are made for each one that is wanted, as far as there are edits: the best are kept.
CHOICE = 1.6

#: Gives the job of making edits, by their places in the plan, in another process.
Elsewhere = Callable[[MeasuredLimits], Job[Sequence[int], list[dict[str, Any]]]]


def write_samples(
    folder: Path,
    recombiner: Recombiner,
    groups: pd.DataFrame,
    images: ImageReader,
    seed: int,
    progress: Progress,
    elsewhere: Elsewhere | None = None,
    processes: int = 1,
) -> dict[str, Any]:
    """Tries planned edits until groups have some to choose from, writes each with its verdict.

    Parameters
    ----------
    folder : pathlib.Path
        Of the table; it is created here.
    recombiner : Recombiner
    groups : DataFrame
        The `planned_groups` table.
    images : ImageReader
        Of hosts and donors, for the critic.
    seed : int
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
    candidates = folder / "candidates"
    with ShardWriter(candidates, RECOMBINED_SAMPLES) as writer:
        for rows in _attempts(recombiner, tally, elsewhere, processes):
            for row in rows:
                tally.decide(row)
                writer.write([row], len(row["image"]["bytes"]))
            throttled.tell(f"recombined_samples: {tally.so_far()}")
    chosen = choose_samples(candidates, folder, wanted_samples(groups), images, seed)
    shutil.rmtree(candidates)
    return tally.summary(chosen) | {
        "gates": recombiner.gates.describe(),
        "images_per_second": throttled.rate(tally.tried),
    }


def _attempts(
    recombiner: Recombiner, tally: _Tally, elsewhere: Elsewhere | None, processes: int
) -> Iterator[list[dict[str, Any]]]:
    donors = _codes(recombiner.plan["donor_id"])
    for places in rounds(tally.slots, tally.missing):
        # What a donor gives, its matte and its scenery, is made once for the edits that follow.
        places = sorted(places, key=lambda place: (donors[place], place))
        batches = [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
        # Once here, not once in every process; and the summary states the limits.
        recombiner.calibrate(batches)
        if elsewhere is None:
            yield from map(recombiner.attempt, batches)
        else:
            yield from cluster_map(elsewhere(recombiner.gates.limits), batches, processes)


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """A number for each value, in the order in which values appear first."""
    encoded = column.combine_chunks().dictionary_encode()
    codes: np.ndarray = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes


class _Tally:
    """Counts what is accepted and refused, and what each slot still lacks."""

    def __init__(self, groups: pd.DataFrame, slots: Sequence[Slot]) -> None:
        self.slots = slots
        wanted = wanted_samples(groups)
        self.missing = Counter({s: math.ceil(n * CHOICE) for s, n in wanted.items()})
        self.tried = 0
        self._wanted = wanted.total()
        self._aim = self.missing.total()
        identity = [slot for slot in slots if is_identity(slot)]
        self._identity_edits = len(identity)
        self.missing.update(identity)
        self._passed = 0
        self._refused: Counter[str] = Counter()

    def decide(self, row: dict[str, Any]) -> None:
        """Counts a judged sample."""
        self.tried += 1
        slot = slot_of(row)
        if is_identity(slot):
            # What its gates measured is kept; the sample is no new one.
            row["reason"] = IDENTITY_EDIT
            self.missing[slot] -= 1
        elif row["reason"]:
            self._refused[row["reason"]] += 1
        else:
            self._passed += 1
            self.missing[slot] -= 1

    def so_far(self) -> str:
        """One line for who waits."""
        refused = self._refused.total()
        return f"{self._passed}/{self._aim} to choose from, {refused} refused"

    def summary(self, chosen: dict[str, Any]) -> dict[str, Any]:
        accepted, refused = chosen["accepted"], self._refused.total()
        return {
            "wanted": self._wanted,
            "tried": self.tried,
            "refused": refused,
            "refused_by_reason": dict(sorted(self._refused.items())),
            "missing": self._wanted - accepted,
            "identity_edits": self._identity_edits,
            **chosen,
            "words": f"{accepted} of {self._wanted} wanted samples accepted, {refused} refused, "
            f"{chosen['spares']} spare",
        }
