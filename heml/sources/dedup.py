"""Which images were accepted already: by id, content, looks and subject.

Memory does not grow.
"""

from __future__ import annotations

import sqlite3
from types import TracebackType

from heml.sources.likeness import Likeness

#: Pages kept in memory, in KiB; the rest is in a temporary file that the system removes.
_CACHE = 8192


#: Images with a band in common that are compared with a new one.
_MOST_COMPARED = 200


class Seen:
    """Accepted images: ids, digests of their content, looks, and the splits of subjects."""

    def __init__(self) -> None:
        # an empty name is a private database on disk that is written only when it outgrows memory
        self._data = sqlite3.connect("", isolation_level=None)
        for line in (
            f"PRAGMA cache_size = -{_CACHE}",
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "CREATE TABLE ids (id BLOB PRIMARY KEY) WITHOUT ROWID",
            "CREATE TABLE contents (digest BLOB PRIMARY KEY, id BLOB) WITHOUT ROWID",
            "CREATE TABLE subjects (subject TEXT PRIMARY KEY, split TEXT) WITHOUT ROWID",
            "CREATE TABLE looks (number INTEGER PRIMARY KEY, bits BLOB, thumbnail BLOB, id BLOB, "
            "split TEXT)",
            "CREATE TABLE bands (band INTEGER, number INTEGER, PRIMARY KEY (band, number)) "
            "WITHOUT ROWID",
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

    def near(self, likeness: Likeness, split: str) -> tuple[str, str] | None:
        """Id and split of an accepted near-duplicate; one of another split before one of this.

        Of two hashes that differ in three bits of four bands, one band is the same. Where very many
        images share a band, as blank ones do, only the first are compared.
        """
        question = (
            "SELECT bits, thumbnail, id, split FROM looks JOIN bands USING (number) "
            "WHERE band = ? ORDER BY number LIMIT ?"
        )
        found: tuple[str, str] | None = None
        for band in _bands(likeness.bits):
            for bits, thumbnail, image_id, of in self._data.execute(
                question, (band, _MOST_COMPARED)
            ):
                if found is not None and of == split:
                    continue
                if likeness.is_near(Likeness(int.from_bytes(bits, "big"), bytes(thumbnail))):
                    found = bytes(image_id).decode("utf-8", "surrogateescape"), of
                    if of != split:
                        return found
        return found

    def split_of(self, subject: str) -> str | None:
        """Split of the first accepted image of a subject."""
        question = "SELECT split FROM subjects WHERE subject = ?"
        found = self._data.execute(question, (subject,)).fetchone()
        return None if found is None else found[0]

    def add(
        self,
        image_id: str,
        digest: bytes,
        split: str,
        likeness: Likeness,
        subject: str | None = None,
    ) -> None:
        """Remembers an accepted image; 128 bits of a digest are enough to tell contents apart."""
        self._data.execute("INSERT INTO ids VALUES (?)", (_bytes(image_id),))
        row = (digest[:16], _bytes(image_id))
        self._data.execute("INSERT INTO contents VALUES (?, ?)", row)
        looks = (likeness.bits.to_bytes(8, "big"), likeness.thumbnail, _bytes(image_id), split)
        question = "INSERT INTO looks (bits, thumbnail, id, split) VALUES (?, ?, ?, ?)"
        number = self._data.execute(question, looks).lastrowid
        bands = [(band, number) for band in _bands(likeness.bits)]
        self._data.executemany("INSERT INTO bands VALUES (?, ?)", bands)
        if subject is not None:
            self._data.execute("INSERT OR IGNORE INTO subjects VALUES (?, ?)", (subject, split))


def _bands(bits: int) -> list[int]:
    """The hash in four bands of 16 bits, each with its position."""
    return [position << 16 | bits >> 16 * position & 0xFFFF for position in range(4)]


def _bytes(image_id: str) -> bytes:
    # file names need not be UTF-8
    return image_id.encode("utf-8", "surrogateescape")
