"""Tables with a column of pictures: what Parquet files and Hugging Face datasets share."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

from data_contracts.common import SPLITS
from heml.sources.base import Described, GivenSource
from heml.sources.class_list import class_list
from heml.sources.files import Files, most_bytes, normal, spellings
from heml.sources.image_names import why_skipped
from heml.sources.layouts.huggingface import HuggingFaceSource
from heml.sources.layouts.parquet import ParquetSource
from heml.sources.name_set import NameSet
from heml.sources.raw import RawRecord, SourceError, Unacceptable
from heml.sources.splits import as_text, first_of, same_number
from heml.taxonomy import nearest

_CLASS_LIST = "classes.json"


class SegmentedImage(NamedTuple):
    """What a group of an image column holds."""

    data: bytes | None
    path: str


class PictureRow(NamedTuple):
    """Some fields of a row, pictures as they are stored."""

    number: int
    image_id: str
    split: str | None
    fields: dict[str, Any]


class PictureTable(GivenSource):
    """Rows with an image column of bytes, of the `datasets` library's struct, or of paths."""

    def __init__(self, settings: ParquetSource | HuggingFaceSource, files: Files) -> None:
        super().__init__(settings)
        self._table_settings = settings
        self._max_bytes = most_bytes(settings.max_pixels)
        self.files = files

    @property
    @abstractmethod
    def column_names(self) -> list[str]:
        """All columns, pictures too."""

    @property
    @abstractmethod
    def scalar_names(self) -> list[str]:
        """Columns of single values that can be told as text."""

    @property
    @abstractmethod
    def class_labels(self) -> Mapping[str, list[str]]:
        """Column → names of the classes that it declares, in order."""

    @abstractmethod
    def picture_rows(self, columns: Sequence[str]) -> Iterator[PictureRow]:
        """Some columns of all rows."""

    def check(self, annotated: bool = True) -> None:
        """Refuses columns or values that cannot work; see `Source.check`."""
        known = self.column_names
        for key in ("image", "mask", "id"):
            column = getattr(self._table_settings, key)
            if column is not None and column not in known:
                raise SourceError(
                    f"source.{key}: {self.place} has no column '{column}'; {nearest(column, known)}"
                )
        class_list(self.class_setting, self.files, required=annotated)
        if annotated and self.mask_column is None:
            raise SourceError(
                f"source.mask: {self.place} has no column 'mask'; with 'segmentation: annotated' "
                f"it must hold the masks; {nearest('mask', known)}"
            )
        _ = self.split_column
        self.check_columns()
        self.check_values()

    def given_columns(self) -> list[str]:
        pictures = {self._table_settings.image, self.mask_column}
        return [name for name in dict.fromkeys(self.scalar_names) if name not in pictures]

    @cached_property
    def _classes(self) -> dict[int, str]:
        return class_list(self.class_setting, self.files, required=False)

    def classes(self) -> dict[int, str]:
        return self._classes

    def described(self) -> Iterator[Described]:
        wanted = [n for n in (self.label, *self.attributes) if n in self.column_names]
        for row in self.picture_rows(wanted):
            yield Described(row.split, {name: self._text(name, row) for name in wanted})

    def records(self) -> Iterator[RawRecord]:
        for row in self.picture_rows([*self._given_columns, *self.picture_columns]):
            columns = {name: self._text(name, row) for name in self._given_columns}
            columns |= dict.fromkeys(self.derived)
            image = mask = refusal = None
            name = row.image_id
            try:
                picture = picture_of(row.fields.get(self._table_settings.image))
                name = self.name_of(picture.path) if picture.path else name
                if row.split in SPLITS:
                    image = self._read(picture, self._table_settings.image, "missing_file")
                    mask = self.with_ids(self._read_mask(row))
            except Unacceptable as error:
                image, refusal = None, error.refusal if row.split in SPLITS else None
            yield RawRecord(
                row.number, name, row.image_id, row.split, columns, image, mask, refusal
            )

    @abstractmethod
    def may_name_files(self, column: str) -> bool:
        """Whether a column may name pictures instead of holding them."""

    def stamps_of_paths(self) -> str | None:
        """Hash over the stamps of the pictures that rows only name; None if the rows hold all."""
        outside = [column for column in self.picture_columns if self.may_name_files(column)]
        if not outside:
            return None
        used = hashlib.sha256()
        for row in self.picture_rows(outside):
            for column in outside if row.split in SPLITS else ():
                try:
                    picture = picture_of(row.fields.get(column))
                    if picture.data is None and picture.path:
                        used.update(f"{self.stamp_of(picture.path)}\n".encode())
                except Unacceptable:  # the row is refused with this reason
                    continue
        return used.hexdigest()

    @abstractmethod
    def table_names(self) -> list[str] | None:
        """Files that hold the rows or say what they mean; None where others need not be told."""

    def skipped(self) -> Iterator[tuple[str, str]]:
        if (tables := self.table_names()) is None:
            return
        outside = [column for column in self.picture_columns if self.may_name_files(column)]
        rows = self.picture_rows(outside) if outside else iter(())
        named = NameSet(chain(tables, self._pictures_of(rows, outside)))
        for name in self.files.walk():
            if name not in named:
                yield name, why_skipped(name)

    def _pictures_of(self, rows: Iterator[PictureRow], columns: Sequence[str]) -> Iterator[str]:
        """Names of the pictures that rows only name."""
        for row in rows:
            for column in columns:
                try:
                    picture = picture_of(row.fields.get(column))
                    if picture.data is None and picture.path:
                        yield from spellings(normal(self.name_of(picture.path)))
                except Unacceptable:  # the row is refused with this reason
                    continue

    def stamp_of(self, path: str) -> object:
        """What tells the contents of a picture apart that the table only names.

        Raises
        ------
        Unacceptable
        """
        return self.files.stamp(path)

    def name_of(self, path: str) -> str:
        """A picture's path as a name below the root."""
        return path

    def read_path(self, path: str, missing: str) -> bytes:
        """A picture that the table only names.

        Raises
        ------
        Unacceptable
        """
        return self.files.read(path, missing)

    def value_orders(self) -> dict[str, list[str]]:
        wanted = (self.label, *self.attributes)
        declared = {name: self.class_labels[name] for name in wanted if name in self.class_labels}
        return declared | super().value_orders()

    def _text(self, name: str, row: PictureRow) -> str | None:
        """A value as text. A declared class may have any name, such as NA."""
        value = row.fields.get(name)
        if isinstance(value, str) and name in self.class_labels:
            return value
        text = as_text(value)
        return same_number(text) if name in (self.label, self.split_by, *self.attributes) else text

    def _read(self, picture: SegmentedImage, column: str, missing: str) -> bytes:
        if picture.data is None and picture.path:
            return self.read_path(picture.path, missing)
        if picture.data is None:
            raise Unacceptable(missing, f"column '{column}' is empty")
        if len(picture.data) > self._max_bytes:
            raise Unacceptable("too_large", f"column '{column}' has {len(picture.data)} bytes")
        return picture.data

    def _read_mask(self, row: PictureRow) -> bytes | None:
        if self.mask_column is None or not self.classes():
            return None
        picture = picture_of(row.fields.get(self.mask_column))
        if picture.data is None and not picture.path:
            return None
        return self._read(picture, self.mask_column, "missing_mask")

    @property
    def picture_columns(self) -> list[str]:
        """The image column and, where there is one, the mask column."""
        return [c for c in (self._table_settings.image, self.mask_column) if c is not None]

    @cached_property
    def mask_column(self) -> str | None:
        if self._table_settings.mask is not None:
            return self._table_settings.mask
        return first_of(["mask"], self.column_names)

    @cached_property
    def class_setting(self) -> str | dict[int, str] | None:
        """The recipe's class list, or the file beside the data."""
        if self._table_settings.classes is None and self.files.is_file(_CLASS_LIST):
            return _CLASS_LIST
        return self._table_settings.classes

    @cached_property
    def id_column(self) -> str | None:
        return self._table_settings.id or first_of(["image_id"], self._given_columns)

    @cached_property
    def split_column(self) -> str | None:
        """Column of the split.

        Raises
        ------
        SourceError
            If the recipe names one that is not there.
        """
        column = self._table_settings.split
        if column is None or column in self._given_columns:
            return column
        if "split" in self._table_settings.model_fields_set:
            raise self._no_column("split", column)
        return None


def picture_of(group: object) -> SegmentedImage:
    """A group as bytes or path.

    Raises
    ------
    Unacceptable
        not_an_image, if it is something else.
    """
    if group is None:
        return SegmentedImage(None, "")
    if isinstance(group, bytes):
        return SegmentedImage(group, "")
    if isinstance(group, str):
        return SegmentedImage(None, group)
    if isinstance(group, dict) and {"bytes", "path"} & set(group):
        data, path = group.get("bytes"), group.get("path")
        return SegmentedImage(data if isinstance(data, bytes) else None, str(path or ""))
    raise Unacceptable("not_an_image", f"the group holds {type(group).__name__}, no bytes or path")
