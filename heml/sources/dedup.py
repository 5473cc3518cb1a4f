"""Which images were accepted already: by id and by content, without memory that grows."""

from __future__ import annotations

import sqlite3
from types import TracebackType

#: Pages kept in memory, in KiB; the rest is in a temporary file that the system removes.
_CACHE = 8192


class Seen:
    """Ids and content digests of accepted images."""

    def __init__(self) -> None:
        # an empty name is a private database on disk that is written only when it outgrows memory
        self._data = sqlite3.connect("", isolation_level=None)
        for line in (
            f"PRAGMA cache_size = -{_CACHE}",
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "CREATE TABLE ids (id BLOB PRIMARY KEY) WITHOUT ROWID",
            "CREATE TABLE contents (digest BLOB PRIMARY KEY, id BLOB) WITHOUT ROWID",
            "BEGIN",
        ):
            self._data.execute(line)

    def __enter__(self) -> Seen:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._data.close()

    def has_id(self, image_id: str) -> bool:
        """Whether an accepted image has this id."""
        question = "SELECT 1 FROM ids WHERE id = ?"
        return self._data.execute(question, (_bytes(image_id),)).fetchone() is not None

    def same_content(self, digest: bytes) -> str | None:
        """Id of the accepted image with this content."""
        question = "SELECT id FROM contents WHERE digest = ?"
        found = self._data.execute(question, (digest[:16],)).fetchone()
        return None if found is None else bytes(found[0]).decode("utf-8", "surrogateescape")

    def add(self, image_id: str, digest: bytes) -> None:
        """Remembers an accepted image; 128 bits of a digest are enough to tell contents apart."""
        self._data.execute("INSERT INTO ids VALUES (?)", (_bytes(image_id),))
        row = (digest[:16], _bytes(image_id))
        self._data.execute("INSERT INTO contents VALUES (?, ?)", row)


def _bytes(image_id: str) -> bytes:
    # file names need not be UTF-8
    return image_id.encode("utf-8", "surrogateescape")
