"""Which planned edits to try: in rounds, as many as each group still lacks samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

#: What an edit counts for: balancing or within-group samples of a group, or identity edits.
Slot = tuple[str, tuple[str, ...]]

#: Directions that count by themselves; all others balance their group.
_OWN_SLOTS = ("within_group", "identity")


def slot_of(edit: Mapping[str, Any]) -> Slot:
    """What a row of the plan, or of the samples, counts for."""
    kind = edit["direction"] if edit["direction"] in _OWN_SLOTS else "balancing"
    return kind, (edit["label"], *edit["attributes"])


def is_identity(slot: Slot) -> bool:
    """Whether edits of a slot have one image as host and donor, and give no new sample."""
    return slot[0] == "identity"


def slots_of(plan: pa.Table) -> list[Slot]:
    """The slot of each edit of a plan; equal ones are one object."""
    known: dict[Slot, Slot] = {}
    columns = plan.select(["direction", "label", "attributes"])
    return [
        known.setdefault(slot, slot)
        for batch in columns.to_batches(max_chunksize=1000)
        for slot in map(slot_of, batch.to_pylist())
    ]


def wanted_samples(groups: pd.DataFrame) -> Counter[Slot]:
    """How many samples each slot wants, from the `planned_groups` table."""
    wanted = Counter[Slot]()
    for group in groups.to_dict("records"):
        key = (group["label"], *group["attributes"])
        wanted["balancing", key] = int(group["n_balancing"])
        wanted["within_group", key] = int(group["n_within_group"])
    return wanted


def rounds(slots: Sequence[Slot], missing: Counter[Slot]) -> Iterator[list[int]]:
    """Places of edits in the plan, in order: in every round as many as each slot still lacks.

    No more edits are tried than are needed, and those of a round can be made anywhere: what the
    gates refuse counts in the next round.

    Parameters
    ----------
    slots : sequence of Slot
        Of all edits.
    missing : Counter
        By slot; the caller subtracts what it accepts.
    """
    left: Iterable[int] = range(len(slots))
    while left:
        pending: Counter[Slot] = Counter()
        now, later = [], []
        for place in left:
            slot = slots[place]
            if pending[slot] < missing[slot]:
                pending[slot] += 1
                now.append(place)
            elif missing[slot] > 0:
                later.append(place)
        left = later
        if now:
            yield now
