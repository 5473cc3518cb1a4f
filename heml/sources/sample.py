"""A few images of a source, chosen by a seed: for looking at them before anything long runs."""

from __future__ import annotations

import hashlib
from heapq import nsmallest
from itertools import islice
from typing import NamedTuple

from data_contracts.common import SPLITS
from heml.sources.base import FileSource
from heml.sources.raw import RawRecord, Source

#: Rows that are looked at where images cannot be chosen without reading those before them.
_FIRST = 300


class Sample(NamedTuple):
    """Chosen rows.

    Parameters
    ----------
    records : list of RawRecord
        In the order of the source, of its three splits; some may have a refusal.
    among : int
        Rows that they were chosen from.
    whole : bool
        Whether these were all rows of the source.
    """

    records: list[RawRecord]
    among: int
    whole: bool


def sample(source: Source, count: int, seed: int, masked: bool = False) -> Sample:
    """Rows that a seed chooses, the same for the same image ids whatever their order.

    Only the chosen files are read of a source of files; of any other the first 300 rows.

    Parameters
    ----------
    source : Source
    count : int
    seed : int
    masked : bool, default False
        Only rows that have a mask, where any has.
    """
    if isinstance(source, FileSource):
        rows = [r for r in source.rows() if r.refusal is None and r.split in SPLITS]
        if masked:
            rows = [r for r in rows if r.mask_name.strip()] or rows
        chosen = nsmallest(count, rows, key=lambda row: _rank(row.image_id, seed))
        found = [source.record(row) for row in sorted(chosen, key=lambda row: row.number)]
        return Sample(found, len(rows), True)
    records = iter(source.records())
    first = [r for r in islice(records, _FIRST) if r.refusal is None and r.split in SPLITS]
    if masked:
        first = [r for r in first if r.mask is not None] or first
    kept = nsmallest(count, first, key=lambda record: _rank(record.image_id, seed))
    whole = next(records, None) is None
    return Sample(sorted(kept, key=lambda record: record.row), len(first), whole)


def _rank(image_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
