"""Metadata tables of folders: CSV, JSON Lines or Parquet, read row by row."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

from heml.sources.files import Files
from heml.sources.parquet_rows import ParquetFile
from heml.sources.raw import Refusal, SourceError
from heml.sources.splits import as_text, written
from heml.sources.text_form import TextForm, csv_form, csv_lines, encoding_of, opened, undecodable

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


class MetadataRow(NamedTuple):
    """One data row: its fields by column, or what is wrong with it."""

    fields: dict[str, str]
    refusal: Refusal | None = None


class MetadataTable:
    """A table of text below a root; empty fields are empty text.

    Parameters
    ----------
    files : Files
    name : str
        Its suffix tells the format; anything else than .jsonl and .parquet is read as CSV.
    expected : collection of str
        Columns of which it should have at least one; they tell what stands between fields.
    encoding : str, optional
        Default: what a byte order mark says, or UTF-8.
    """

    def __init__(
        self,
        files: Files,
        name: str,
        expected: Collection[str] = (),
        encoding: str | None = None,
    ) -> None:
        self._files = files
        self._expected, self._encoding = expected, encoding
        self.name = name
        self.place = files.shown(name)
        self._suffix = PurePosixPath(name).suffix.lower()

    @cached_property
    def form(self) -> TextForm:
        """How its text is written.

        Raises
        ------
        SourceError
            If that is ambiguous.
        """
        match self._suffix:
            case ".parquet":
                return TextForm()
            case ".jsonl" | ".ndjson":
                return TextForm(encoding_of(self._files, self.name, self._encoding))
            case _:
                return csv_form(self._files, self.name, self._expected, self._encoding)

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns.

        Raises
        ------
        SourceError
            If the table cannot be read, or a column has no name or another's.
        """
        match self._suffix:
            case ".parquet":
                names = ParquetFile(self._files, self.name).columns
            case ".jsonl" | ".ndjson":
                names = self._json_columns()
            case _:
                names = self._csv_columns()
        if not names:
            raise SourceError(f"{self.place} is empty; its first line must name the columns")
        for position, name in enumerate(names):
            if not name.strip():
                raise SourceError(
                    f"{self.place}: column {position + 1} has no name; name it or remove it "
                    "(pandas writes such a column unless index=False)"
                )
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise SourceError(f"{self.place}: column '{twice[0]}' is there twice; rename one")
        return names

    def rows(self) -> Iterator[MetadataRow]:
        """All rows in order."""
        match self._suffix:
            case ".parquet":
                table = ParquetFile(self._files, self.name)
                for row in table.rows(table.columns):
                    texts = {name: as_text(value) or "" for name, value in row.items()}
                    yield MetadataRow(texts)
            case ".jsonl" | ".ndjson":
                yield from self._json_rows()
            case _:
                yield from self._csv_rows()

    def _csv_columns(self) -> list[str]:
        with self._text() as file:
            try:
                return [name.strip() for name in next(csv_lines(file, self.form.delimiter), [])]
            except (UnicodeError, csv.Error) as error:
                raise self._unreadable(error) from error

    def _csv_rows(self) -> Iterator[MetadataRow]:
        header = self.columns
        with self._text() as file:
            try:
                lines = csv_lines(file, self.form.delimiter)
                next(lines)
                # csv gives an empty list for a blank line, which is no row
                for groups in (groups for groups in lines if groups):
                    refusal = None
                    if len(groups) != len(header):
                        refusal = Refusal(
                            "malformed_row",
                            f"{len(groups)} fields, the header of {self.name} has {len(header)} "
                            f"(line {lines.line_num})",
                        )
                    fields = map(written, groups)
                    yield MetadataRow(dict(zip(header, fields, strict=False)), refusal)
            except (UnicodeError, csv.Error) as error:
                raise self._unreadable(error) from error

    def _json_columns(self) -> list[str]:
        names: dict[str, None] = {}
        for row in self._json_rows():
            names |= dict.fromkeys(row.fields)
        return list(names)

    def _json_rows(self) -> Iterator[MetadataRow]:
        with self._text() as file:
            try:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield self._json_row(line, number)
            except UnicodeError as error:
                raise self._unreadable(error) from error

    def _json_row(self, line: str, number: int) -> MetadataRow:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            return MetadataRow({}, Refusal("malformed_row", f"line {number}: {error}"))
        if not isinstance(content, dict):
            return MetadataRow({}, Refusal("malformed_row", f"line {number} is no JSON object"))
        return MetadataRow({name.strip(): as_text(value) or "" for name, value in content.items()})

    def _text(self) -> io.TextIOWrapper:
        return opened(self._files, self.name, self.form.encoding)

    def _unreadable(self, error: Exception) -> SourceError:
        if isinstance(error, UnicodeError):
            return SourceError(undecodable(self._files, self.name, self.form.encoding))
        if "field larger than" in str(error):
            return SourceError(f"{self.place}: a quote is not closed ({error})")
        return SourceError(
            f"{self.place} is not a CSV in UTF-8 with commas ({error}); save it as one"
        )
