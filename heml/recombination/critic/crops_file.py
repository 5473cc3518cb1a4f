"""Pieces of all candidates in a file: images are decoded once, whatever reads them afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from heml.recombination.critic.critic import Candidate
from heml.recombination.critic.crops import PIECES, SIDE, Crops

#: Pieces of a sample, then those of its host and its donor.
_SHAPE = (3 * PIECES, 3, SIDE, SIDE)
_BYTES = int(np.prod(_SHAPE))


class CropsFile:
    """Candidates with their pieces, in the order in which they were written.

    Parameters
    ----------
    path : pathlib.Path
        A new file.
    candidates : iterable of Candidate
        All are written at once; memory does not grow with them but for their ids.
    """

    def __init__(self, path: Path, candidates: Iterable[Candidate]) -> None:
        self._path = path
        self._ids: list[tuple[str, str]] = []
        with path.open("wb") as file:
            for candidate in candidates:
                self._ids.append((candidate.edit_id, candidate.host_id))
                file.write(np.concatenate(candidate.crops).tobytes())

    def read(self, kept: set[str] | None = None) -> Iterator[Candidate]:
        """The candidates, or those of some edits; the same in every call."""
        with self._path.open("rb") as file:
            for place, (edit_id, host_id) in enumerate(self._ids):
                if kept is None or edit_id in kept:
                    file.seek(place * _BYTES)
                    found = np.frombuffer(file.read(_BYTES), np.uint8).reshape(_SHAPE)
                    yield Candidate(edit_id, host_id, Crops(found[:PIECES], found[PIECES:]))
