"""A set of names on disk, for datasets whose names do not fit into memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable


class NameSet:
    """Names that were added; the file is temporary and goes with the object.

    Parameters
    ----------
    names : iterable of str
    """

    def __init__(self, names: Iterable[str]) -> None:
        # an empty name is a private database that is written to disk when it outgrows its cache
        self._data = sqlite3.connect("", isolation_level=None)
        self._data.execute("CREATE TABLE names (name BLOB PRIMARY KEY) WITHOUT ROWID")
        self._data.execute("BEGIN")
        rows = ((_bytes(name),) for name in names)
        self._data.executemany("INSERT OR IGNORE INTO names VALUES (?)", rows)

    def __contains__(self, name: str) -> bool:
        question = "SELECT 1 FROM names WHERE name = ?"
        return self._data.execute(question, (_bytes(name),)).fetchone() is not None


def _bytes(name: str) -> bytes:
    # file names need not be UTF-8
    return name.encode("utf-8", "surrogateescape")
