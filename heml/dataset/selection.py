"""Which rows the dataset gets and what they weigh. Reads small columns only.

Left out are revoked images with everything made of them and, if the settings say so, real train
rows that are too many for their group.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from data_contracts import RECOMBINED_SAMPLES
from heml.dataset.dataset_settings import DatasetSettings
from heml.dataset.group_reader import Group, GroupReader
from heml.images.groups import MISSING
from heml.images.revoked import Revoked
from heml.recombination.plan.real_shares import shares_of_real
from heml.storage.sharded_parquet import ShardedTable
from heml.storage.store import Store

_BATCH = 4096


class RowWeights(NamedTuple):
    """Weights of a group's real and recombined train rows."""

    real: float
    recombined: float


@dataclass
class Selection:
    """What goes into the dataset.

    Parameters
    ----------
    real, recombined : Counter of Group
        Train rows. A row with a missing attribute value is in no group.
    parents : set of str
        Hosts and donors of the recombined rows.
    surplus : set of str
        Real train images left out because their group has too many.
    revoked, descendants : int
        Stored images, and accepted samples, left out because of what is revoked.
    values : list of set of str
        Values of the label, then of each attribute, in all splits.
    targets : dict of Group to int
        Records that the plan aims at.
    by_origin : bool
        Whether real and recombined rows of a group may weigh differently.
    """

    real: Counter[Group] = field(default_factory=Counter)
    recombined: Counter[Group] = field(default_factory=Counter)
    parents: set[str] = field(default_factory=set)
    surplus: set[str] = field(default_factory=set)
    revoked: int = 0
    descendants: int = 0
    values: list[set[str]] = field(default_factory=list)
    targets: dict[Group, int] = field(default_factory=dict)
    by_origin: bool = True

    def weights(self) -> dict[Group, RowWeights]:
        """Weights of train rows by group: groups weigh as the plan aims, rows 1 on average.

        Real rows have the same share of every group of an attribute value, as far as
        `shares_of_real` can give it to them.
        """
        counts = self.real + self.recombined
        aims = self.aims(counts)
        scale = sum(counts.values()) / max(sum(aims.values()), 1)
        shares = self._shares_of_real(counts)
        result = {}
        for group, count in counts.items():
            mass, real, share = scale * aims[group], self.real[group], shares[group]
            result[group] = RowWeights(
                mass * share / max(real, 1), mass * (1 - share) / max(count - real, 1)
            )
        return result

    def _shares_of_real(self, counts: Counter[Group]) -> dict[Group, float]:
        """Share of each group's weight that its real rows get."""
        if self.by_origin:
            return shares_of_real(self.real, self.recombined)
        return {group: self.real[group] / n for group, n in counts.items()}

    def aims(self, counts: Counter[Group]) -> dict[Group, int]:
        """Records aimed at by group; a group that the plan does not know keeps what it has."""
        return {group: self.targets.get(group, n) for group, n in counts.items()}


def select_rows(
    store: Store, groups: GroupReader, settings: DatasetSettings, revoked: Revoked
) -> Selection:
    """Goes over images and samples once.

    Parameters
    ----------
    groups : GroupReader
    """
    # Who leaves rows out instead of weighing them trains without weights.
    selection = Selection(targets=_targets(store), by_origin=settings.surplus == "weight")
    for image_id, split, group in groups.rows():
        if image_id in revoked:
            selection.revoked += 1
            continue
        selection.values = selection.values or [set() for _ in group]
        for values, value in zip(selection.values, group, strict=True):
            if value != MISSING:
                values.add(value)
        if split == "train" and MISSING not in group:
            selection.real[group] += 1
    for row in _accepted(store):
        if descends(row, revoked):
            selection.descendants += 1
            continue
        selection.recombined[(row["label"], *row["attributes"])] += 1
        selection.parents |= {row["host_id"], row["donor_id"]}
    # Those that went when the images were revoked.
    selection.descendants += int(store.summary("recombined_samples").get("descendants", 0))
    if settings.surplus == "drop":
        _drop_surplus(groups, revoked, selection)
    return selection


def descends(sample: dict[str, Any], revoked: Revoked) -> bool:
    """Whether a sample is made of a revoked image."""
    return sample["host_id"] in revoked or sample["donor_id"] in revoked


def _drop_surplus(groups: GroupReader, revoked: Revoked, selection: Selection) -> None:
    """Leaves out real rows until no group is further along to its target than the last one, if it
    can.

    Which ones, a hash of their ids decides: neither their order nor what is added elsewhere.
    """
    counts = selection.real + selection.recombined
    aims = selection.aims(counts)
    reached = min((n / aims[c] for c, n in counts.items() if aims[c]), default=0.0)
    wanted = {c: round(reached * aims[c]) for c in counts}
    excess = {c: min(n - wanted[c], selection.real[c]) for c, n in counts.items() if n > wanted[c]}
    candidates: defaultdict[Group, list[tuple[bytes, str]]] = defaultdict(list)
    for image_id, split, group in groups.rows():
        if split == "train" and image_id not in revoked and group in excess:
            rank = hashlib.sha256(image_id.encode()).digest()[:8]
            candidates[group].append((rank, image_id))
    for group, ranked in candidates.items():
        selection.surplus |= {image_id for _, image_id in sorted(ranked)[: excess[group]]}
        selection.real[group] -= excess[group]


def _targets(store: Store) -> dict[Group, int]:
    columns = ["label", "attributes", "n_target"]
    rows = pq.read_table(store.planned_groups, columns=columns).to_pylist()
    return {(row["label"], *row["attributes"]): row["n_target"] for row in rows}


def _accepted(store: Store) -> Iterator[dict[str, Any]]:
    columns = ["accepted", "label", "attributes", "host_id", "donor_id"]
    table = ShardedTable(store.recombined_samples, RECOMBINED_SAMPLES)
    for batch in table.batches(columns, _BATCH):
        yield from (row for row in batch.to_pylist() if row["accepted"])
