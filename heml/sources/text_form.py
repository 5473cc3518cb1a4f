"""How the text of a table is written: its encoding, and what stands between the fields.

Read from the file where it says so without doubt; never guessed from letters.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from heml.sources.files import Files
from heml.sources.raw import SourceError

if TYPE_CHECKING:
    from _csv import Reader

#: What may stand between fields, in words; the first is what CSV means.
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
#: First bytes of a file → its encoding. The longer ones come first.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_UTF8 = "utf-8-sig"
#: What spreadsheets write in western Europe and America; shown as what a file may mean.
_LIKELY = "cp1252"
#: Characters of one field; beyond it a quote was not closed. Python's own limit is 128 KiB, and
#: run-length masks in a table are longer.
MOST_FIELD = 1 << 26


class TextForm(NamedTuple):
    """How a table is written.

    Parameters
    ----------
    encoding : str
        A codec's name.
    delimiter : str
        One character.
    """

    encoding: str = _UTF8
    delimiter: str = ","

    @property
    def words(self) -> str:
        """In words; empty for UTF-8 with commas."""
        parts = [] if self.encoding == _UTF8 else [self.encoding.upper()]
        if self.delimiter != ",":
            parts.append(f"{_DELIMITERS[self.delimiter]} between the fields")
        return ", ".join(parts)


def encoding_of(files: Files, name: str, named: str | None = None) -> str:
    """The encoding of a file: as named, as its byte order mark says, or UTF-8.

    Raises
    ------
    SourceError
        If it looks like UTF-16 without a byte order mark.
    """
    if named is not None:
        return named
    with files.open(name) as file:
        head = file.read(64)
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    for order, zeros in (("le", head[1::2]), ("be", head[::2])):
        if not zeros or zeros.strip(b"\0"):
            continue
        raise SourceError(
            f"{files.shown(name)}: every second byte is zero, as in UTF-16 without a byte order "
            f"mark; save it as UTF-8, or set source.encoding: utf-16-{order}"
        )
    return _UTF8


def csv_form(files: Files, name: str, expected: Collection[str], named: str | None) -> TextForm:
    """How a CSV is written.

    Parameters
    ----------
    files : Files
    name : str
    expected : collection of str
        Columns of which it has at least one: what separates them is what stands between fields.
    named : str, optional
        Its encoding, where the recipe says.

    Raises
    ------
    SourceError
        If two separators would give an expected column.
    """
    encoding = encoding_of(files, name, named)
    headers: dict[str, list[str]] = {}
    for delimiter in _DELIMITERS:
        try:
            with opened(files, name, encoding) as file:
                headers[delimiter] = [n.strip() for n in next(csv_lines(file, delimiter), [])]
        except (UnicodeError, csv.Error):
            continue  # the reader of rows says what is wrong
    found = [d for d, names in headers.items() if set(names) & set(expected)]
    if not found:
        found = [d for d, names in headers.items() if len(names) > 1]
    if "," in found or not found:
        return TextForm(encoding)
    if len(found) > 1:
        between = " or ".join(_DELIMITERS[d] for d in found)
        raise SourceError(
            f"{files.shown(name)}: {between} may stand between the fields; save it with commas"
        )
    return TextForm(encoding, found[0])


def opened(files: Files, name: str, encoding: str) -> io.TextIOWrapper:
    """A file as text, line ends as they are. The caller closes it."""
    return io.TextIOWrapper(files.open(name), encoding=encoding, newline="")


def csv_lines(file: io.TextIOWrapper, delimiter: str) -> Reader:
    """A CSV's lines; strict, and with fields of any length that an image may need."""
    csv.field_size_limit(MOST_FIELD)
    return csv.reader(file, delimiter=delimiter, strict=True)


def undecodable(files: Files, name: str, encoding: str) -> str:
    """What to do about a file that is not in an encoding: its first line that is not, and how.

    Parameters
    ----------
    encoding : str
        That the file is not in.
    """
    told = f"{files.shown(name)} is not text in {encoding.removesuffix('-sig').upper()}"
    if encoding != _UTF8:
        return f"{told}; save it as UTF-8, or name its encoding in source.encoding"
    with files.open(name) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                start = max(error.start - 12, 0)
                part = line[start : error.end + 12].decode(_LIKELY, "replace").strip()
                return (
                    f"{told}: line {number}, '…{part}…' if it is {_LIKELY}; save it as UTF-8, or "
                    f"set source.encoding, such as {_LIKELY}"
                )
    return f"{told}; save it as UTF-8"
