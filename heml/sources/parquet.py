"""Images in the rows of Parquet files: one file, or all below a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from heml.sources.files import Files, most_bytes, open_files
from heml.sources.image_columns import PictureRow, PictureTable
from heml.sources.layouts.parquet import ParquetSource as ParquetSettings
from heml.sources.parquet_rows import ParquetFile, is_binary
from heml.sources.raw import SourceError
from heml.sources.splits import DRAWN, as_text, mapped_split, split_folder, split_word

SUFFIXES = (".parquet", ".pq")

#: A partition without a value, as Hive names it.
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class ParquetReader(PictureTable):
    """The rows of one Parquet file, or of all below a folder.

    Parameters
    ----------
    settings : heml.sources.layouts.parquet.ParquetSource
    base : pathlib.Path
        Folder that a relative `root` starts from: the recipe's.

    Raises
    ------
    SourceError
        If `root` uses an environment variable that is not set, or is a URL that cannot be opened.
    """

    def __init__(self, settings: ParquetSettings, base: Path) -> None:
        files, self._only = _opened(settings, base)
        super().__init__(settings, files)
        self.settings = settings

    @property
    def place(self) -> str:
        return self.files.shown(self._only or "")

    @cached_property
    def _tables(self) -> dict[str, ParquetFile]:
        names = [self._only] if self._only else self.files.walk()
        return {
            name: ParquetFile(self.files, name)
            for name in names
            if name.lower().endswith(SUFFIXES) and not name.startswith("_")
        }

    def check(self, annotated: bool = True) -> None:
        """Refuses files, columns or values that cannot work; see `Source.check`."""
        if not self._tables:
            raise SourceError(
                f"source.root: there is no Parquet file in {self.place}; write a file, or a folder "
                "with .parquet files, absolute or relative to the recipe"
            )
        super().check(annotated)

    @property
    def column_names(self) -> list[str]:
        own = (name for table in self._tables.values() for name in table.columns)
        return list(dict.fromkeys([*own, *self._partition_names]))

    @property
    def scalar_names(self) -> list[str]:
        own = [name for table in self._tables.values() for name in table.scalars]
        return [*own, *self._partition_names]

    @cached_property
    def _partition_names(self) -> list[str]:
        """Columns that folders such as `label=cat` give, where the files do not have them."""
        own = {name for table in self._tables.values() for name in table.columns}
        return list(
            dict.fromkeys(n for name in self._tables for n in partitions(name) if n not in own)
        )

    @cached_property
    def class_labels(self) -> dict[str, list[str]]:
        return {n: own for table in self._tables.values() for n, own in table.class_labels.items()}

    def picture_rows(self, columns: Sequence[str]) -> Iterator[PictureRow]:
        number = 0
        wanted = dict.fromkeys([*columns, self.id_column, self.split_column, self.split_by])
        for name, table in self._tables.items():
            there = {*table.columns}
            rows = table.rows([c for c in wanted if c is not None and c in there])
            given = {n: v for n, v in partitions(name).items() if n in self._partition_names}
            for position, own in enumerate(rows):
                fields = own | given
                image_id = f"{name.rpartition('.')[0]}-{position:06d}"
                if self.id_column is not None:
                    image_id = as_text(fields.get(self.id_column)) or image_id
                if self.split_column is not None:
                    said = as_text(fields.get(self.split_column))
                    split = mapped_split(said, self.settings.splits)
                elif self._splits_by_name:
                    split = self._split_of(name)
                else:
                    split = self.drawn(image_id, fields)
                yield PictureRow(number, image_id, split, fields)
                number += 1

    def state(self) -> object:
        """The stamp of every file, and of the pictures that the rows only name."""
        return {"files": self.quick_state(), "paths": self.stamps_of_paths()}

    def quick_state(self) -> object:
        """The stamp of every file."""
        return {name: self.files.stamp(name) for name in self._files_read()}

    def table_names(self) -> list[str] | None:
        # What lies beside one file that the recipe names is no part of the dataset.
        return None if self._only else self._files_read()

    def _files_read(self) -> list[str]:
        names = [*self._tables, self.class_setting]
        return [name for name in names if isinstance(name, str)]

    def _split_of(self, name: str) -> str | None:
        """The split that a file's path speaks of: its own name, else its folders."""
        *folders, file = name.split("/")
        stem = file.rpartition(".")[0] or file
        parts = [(stem, split_word(stem)), *((part, split_folder(part)) for part in folders[::-1])]
        for part, found in parts:
            if part in self.settings.splits:
                return self.settings.splits[part]
            if found:
                return self.settings.splits.get(found, found)
        return None

    @cached_property
    def _splits_by_name(self) -> bool:
        """Whether the files tell splits apart; one name for all of them tells nothing."""
        if self.settings.split is None or self.split_column is not None:
            return False
        return len({self._split_of(name) for name in self._tables} - {None}) > 1

    def splits_come_from(self) -> str:
        if self.split_column:
            return f"column '{self.split_column}'"
        return "from the files' names" if self._splits_by_name else DRAWN

    def may_name_files(self, column: str) -> bool:
        """Whether a column may name pictures instead of holding them, as types and footers tell."""
        for table in self._tables.values():
            if column in table.columns:
                kind = table.schema.field(column).type
                if pa.types.is_struct(kind):
                    if not table.is_full(f"{column}.bytes"):
                        return True
                elif not is_binary(kind):
                    return True
        return False


def partitions(name: str) -> dict[str, str | None]:
    """Columns that folders such as `label=cat` give, as Hive and Spark write them."""
    pairs = (folder.partition("=") for folder in name.split("/")[:-1])
    return {
        column: None if value == _NO_VALUE else unquote(value)
        for column, equals, value in pairs
        if column and equals
    }


def _opened(settings: ParquetSettings, base: Path) -> tuple[Files, str | None]:
    """The folder, and the name of the one file if `root` is a file."""
    root, limit = settings.root, most_bytes(settings.max_pixels)
    if root.lower().endswith(SUFFIXES) and "::" not in root:
        folder, _, name = root.rpartition("/")
        files = open_files(folder or ("/" if root.startswith("/") else "."), base, limit)
        if files.is_file(name):
            return files, name
    return open_files(root, base, limit), None
