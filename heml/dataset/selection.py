"""Which rows the dataset gets and what they weigh. Reads small columns only.

Left out are revoked images with everything made of them and, if the settings say so, real train
rows that are too many for their cell.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from data_contracts import RECOMBINED_SAMPLES
from heml.cells import MISSING
from heml.dataset.cell_reader import Cell, CellReader
from heml.revoked import Revoked
from heml.settings import DatasetSettings
from heml.shards import ShardedTable
from heml.store import Store

_BATCH = 4096


@dataclass
class Selection:
    """What goes into the dataset.

    Parameters
    ----------
    real, recombined : Counter of Cell
        Train rows. A row with a missing group value is in no cell.
    parents : set of str
        Hosts and donors of the recombined rows.
    surplus : set of str
        Real train images left out because their cell has too many.
    revoked, descendants : int
        Stored images, and accepted samples, left out because of what is revoked.
    values : list of set of str
        Values of the label, then of each group, in all splits.
    targets : dict of Cell to int
        Records that the plan aims at.
    """

    real: Counter[Cell] = field(default_factory=Counter)
    recombined: Counter[Cell] = field(default_factory=Counter)
    parents: set[str] = field(default_factory=set)
    surplus: set[str] = field(default_factory=set)
    revoked: int = 0
    descendants: int = 0
    values: list[set[str]] = field(default_factory=list)
    targets: dict[Cell, int] = field(default_factory=dict)

    def weights(self) -> dict[Cell, float]:
        """Weight of a train row by its cell: cells weigh as the plan aims, rows 1 on average."""
        counts = self.real + self.recombined
        aims = self.aims(counts)
        scale = sum(counts.values()) / max(sum(aims.values()), 1)
        return {cell: scale * aims[cell] / n for cell, n in counts.items()}

    def aims(self, counts: Counter[Cell]) -> dict[Cell, int]:
        """Records aimed at by cell; a cell that the plan does not know keeps what it has."""
        return {cell: self.targets.get(cell, n) for cell, n in counts.items()}


def select_rows(
    store: Store, cells: CellReader, settings: DatasetSettings, revoked: Revoked
) -> Selection:
    """Goes over images and samples once.

    Parameters
    ----------
    cells : CellReader
    """
    selection = Selection(targets=_targets(store))
    for image_id, split, cell in cells.rows():
        if image_id in revoked:
            selection.revoked += 1
            continue
        selection.values = selection.values or [set() for _ in cell]
        for values, value in zip(selection.values, cell, strict=True):
            if value != MISSING:
                values.add(value)
        if split == "train" and MISSING not in cell:
            selection.real[cell] += 1
    for row in _accepted(store):
        if descends(row, revoked):
            selection.descendants += 1
            continue
        selection.recombined[(row["label"], *row["groups"])] += 1
        selection.parents |= {row["host_id"], row["donor_id"]}
    if settings.surplus == "drop":
        _drop_surplus(cells, revoked, selection)
    return selection


def descends(sample: dict[str, Any], revoked: Revoked) -> bool:
    """Whether a sample is made of a revoked image."""
    return sample["host_id"] in revoked or sample["donor_id"] in revoked


def _drop_surplus(cells: CellReader, revoked: Revoked, selection: Selection) -> None:
    """Leaves out real rows until no cell is further along to its target than the last one, if it
    can.

    Which ones, a hash of their ids decides: neither their order nor what is added elsewhere.
    """
    counts = selection.real + selection.recombined
    aims = selection.aims(counts)
    reached = min((n / aims[c] for c, n in counts.items() if aims[c]), default=0.0)
    wanted = {c: round(reached * aims[c]) for c in counts}
    excess = {c: min(n - wanted[c], selection.real[c]) for c, n in counts.items() if n > wanted[c]}
    candidates: defaultdict[Cell, list[tuple[bytes, str]]] = defaultdict(list)
    for image_id, split, cell in cells.rows():
        if split == "train" and image_id not in revoked and cell in excess:
            rank = hashlib.sha256(image_id.encode()).digest()[:8]
            candidates[cell].append((rank, image_id))
    for cell, ranked in candidates.items():
        selection.surplus |= {image_id for _, image_id in sorted(ranked)[: excess[cell]]}
        selection.real[cell] -= excess[cell]


def _targets(store: Store) -> dict[Cell, int]:
    columns = ["label", "groups", "n_target"]
    rows = pq.read_table(store.planned_cells, columns=columns).to_pylist()
    return {(row["label"], *row["groups"]): row["n_target"] for row in rows}


def _accepted(store: Store) -> Iterator[dict[str, Any]]:
    columns = ["accepted", "label", "groups", "host_id", "donor_id"]
    table = ShardedTable(store.recombined_samples, RECOMBINED_SAMPLES)
    for batch in table.batches(columns, _BATCH):
        yield from (row for row in batch.to_pylist() if row["accepted"])
