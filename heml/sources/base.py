"""What sources of given images share: label, attributes and limits, and checks of their columns."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from data_contracts.common import SPLITS
from heml.compute.prefetch import map_ahead
from heml.sources.color_mask import ids_of_colors
from heml.sources.files import Files, normal, spellings
from heml.sources.image_names import why_skipped
from heml.sources.name_set import NameSet
from heml.sources.raw import Limits, RawRecord, Refusal, SourceError, Unacceptable
from heml.sources.source_settings import ImageSource
from heml.sources.splits import as_text, drawn_split, presence_column, same_number
from heml.taxonomy import nearest

#: Columns beside the attributes in every table of records.
_RESERVED = ("image_id", "split", "label")


class Described(NamedTuple):
    """What a row says before its pictures are read."""

    split: str | None
    columns: Mapping[str, str | None]


class GivenSource(ABC):
    """Images that somebody gives, with columns; see `heml.sources.raw.Source`.

    Parameters
    ----------
    settings : heml.sources.source_settings.ImageSource
    """

    def __init__(self, settings: ImageSource) -> None:
        self._settings = settings

    @property
    def label(self) -> str:
        return self._settings.label

    @property
    def attributes(self) -> list[str]:
        return list(self._settings.attributes)

    @property
    def labels(self) -> list[str] | None:
        given = self._settings.labels
        return None if given is None else [same_number(label) or label for label in given]

    @property
    def limits(self) -> Limits:
        settings = self._settings
        keep = settings.near_duplicates == "keep"
        return Limits(settings.max_pixels, settings.max_refused, keep)

    @property
    def split_by(self) -> str | None:
        return self._settings.split_by

    def values(self, columns: Mapping[str, str | None]) -> dict[str, str | None]:
        """A row's columns, with numbers of label and attributes written in one way."""
        named = {self.label, self.split_by, *self.attributes}
        return {n: same_number(text) if n in named else text for n, text in columns.items()}

    def with_ids(self, mask: bytes | None) -> bytes | None:
        """A mask with its colors replaced by class ids, where the recipe names colors.

        Raises
        ------
        Unacceptable
        """
        colors = self._settings.mask_colors
        if mask is None or not colors:
            return mask
        return ids_of_colors(mask, colors, self._settings.max_pixels)

    def drawn(self, image_id: str, columns: Mapping[str, object]) -> str:
        """The split of a row that nothing gives one: the same for all rows of a subject."""
        subject = same_number(as_text(columns.get(self.split_by))) if self.split_by else None
        return drawn_split(image_id if subject is None else subject)

    @cached_property
    def derived(self) -> dict[str, int]:
        """Columns of the recipe that tell whether the mask holds a class, and the class's id."""
        known = {presence_column(name): number for number, name in self.classes().items()}
        return {
            name: known[name]
            for name in (self.label, *self.attributes)
            if name not in self._given_columns and name in known
        }

    def columns(self) -> list[str]:
        return [*self._given_columns, *self.derived]

    @cached_property
    def _given_columns(self) -> list[str]:
        return self.given_columns()

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the columns stand, as messages name it."""

    @abstractmethod
    def check(self, annotated: bool = True) -> None: ...

    @abstractmethod
    def given_columns(self) -> list[str]:
        """The input's metadata columns, without those that name the files."""

    @abstractmethod
    def classes(self) -> dict[int, str]:
        """Class id → name; empty where the source has no class list: masks are not read then."""

    @abstractmethod
    def described(self) -> Iterator[Described]:
        """All rows that can be read, without their pictures."""

    @abstractmethod
    def records(self) -> Iterator[RawRecord]: ...

    @abstractmethod
    def state(self) -> object: ...

    @abstractmethod
    def quick_state(self) -> object: ...

    def check_columns(self) -> None:
        """Refuses a label or attribute that no column gives.

        Raises
        ------
        SourceError
        """
        if self.label not in self.columns():
            raise self._no_column("label", self.label)
        if self.split_by is not None and self.split_by not in self._given_columns:
            raise self._no_column("split_by", self.split_by)
        for attribute in self.attributes:
            if attribute not in self.columns():
                raise self._no_column("attributes", attribute)
            if attribute in _RESERVED:
                raise SourceError(
                    f"source.attributes: '{attribute}' names a column of HEML's own tables; "
                    "rename it in "
                    f"{self.place}"
                )
            if attribute == self.label or self.attributes.count(attribute) > 1:
                raise SourceError(
                    f"source.attributes: '{attribute}' is named twice or is the label; name "
                    "other columns"
                )

    def check_values(self) -> None:
        """Refuses a train split that is empty or has one label or attribute value only.

        Raises
        ------
        SourceError
        """
        splits: Counter[str] = Counter()
        wanted = [n for n in (self.label, *self.attributes) if n not in self.derived]
        train: dict[str, set[str]] = {name: set() for name in wanted}
        for split, columns in self.described():
            splits[split or "(empty)"] += 1
            if split == "train":
                for name, values in train.items():
                    values |= {columns[name] or ""} - {""}
        if not splits["train"]:
            found = ", ".join(f"'{name}'" for name in splits if name != "train") or "no rows"
            raise SourceError(
                f"{self.place}: no row has the split 'train' ({self.splits_come_from()}; "
                f"found {found}); write train, validation or test there, or set source.split: null"
            )
        for name, values in train.items():
            kind = "label" if name == self.label else "attribute"
            if kind == "label" and self.labels:
                values &= {*self.labels}
            if len(values) < 2:
                found = f"only '{next(iter(values))}'" if values else "no value"
                raise SourceError(
                    f"{self.place}: the {kind} column '{name}' has {found} in the train split; "
                    f"it needs at least two {kind} values"
                )

    def skipped(self) -> Iterable[tuple[str, str]]:
        """Files below the root that no row is made of, and why."""
        return ()

    def value_orders(self) -> dict[str, list[str]]:
        """See `Source.value_orders`; the recipe's `labels` come before the input's."""
        return {} if self.labels is None else {self.label: self.labels}

    def read_as(self) -> Mapping[str, str]:
        """See `Source.read_as`."""
        return {}

    def splits_come_from(self) -> str:
        """What tells the splits apart, in words."""
        return "from the folders"

    def _no_column(self, key: str, column: str) -> SourceError:
        known = self._given_columns
        if column.startswith("has_"):
            known = [*known, *map(presence_column, self.classes().values())]
        return SourceError(
            f"source.{key}: {self.place} has no column '{column}'; {nearest(column, known)}"
        )


class FileRow(NamedTuple):
    """A row of a source whose images are files.

    Parameters
    ----------
    number : int
        Position in the source, from 0.
    file_name, mask_name : str
        Relative to the root; no mask if empty.
    image_id : str
    split : str or None
    columns : mapping of str to str or None
    refusal : Refusal or None
        What is wrong with the row itself.
    """

    number: int
    file_name: str
    mask_name: str
    image_id: str
    split: str | None
    columns: Mapping[str, str | None]
    refusal: Refusal | None = None


class FileSource(GivenSource):
    """Images that are files below a root."""

    def __init__(self, settings: ImageSource, files: Files) -> None:
        super().__init__(settings)
        self.files = files

    @property
    def place(self) -> str:
        return self.files.shown()

    @abstractmethod
    def rows(self) -> Iterator[FileRow]:
        """All rows in order, files not opened."""

    @abstractmethod
    def table_names(self) -> list[str]:
        """Files that describe the images."""

    def described(self) -> Iterator[Described]:
        for row in self.rows():
            if row.refusal is None:
                yield Described(row.split, self.values(row.columns))

    def records(self) -> Iterator[RawRecord]:
        _ = self.derived  # threads must not be the first to ask
        yield from map_ahead(self.record, self.rows())

    def state(self) -> object:
        """Stamps of the describing files and of every file that is used."""
        used = hashlib.sha256()
        for row in self.rows():
            if row.refusal is None and row.split in SPLITS:
                for name in self.names_of(row):
                    used.update(f"{self.files.stamp(name)}\n".encode())
        return {"tables": self._tables_state(), "files": used.hexdigest()}

    def quick_state(self) -> object:
        """The describing files, and the stamps of the folders at the root."""
        folders = ["", *self.files.listing().folders]
        stamps = {name: self.files.stamp(name) for name in folders}
        return {"tables": self._tables_state(), "folders": stamps}

    def _tables_state(self) -> dict[str, str | None]:
        return {name: self._content_hash(name) for name in self.table_names()}

    def skipped(self) -> Iterator[tuple[str, str]]:
        used = (normal(name) for row in self.rows() for name in self.names_of(row) if name)
        spelled = (spelling for name in used for spelling in spellings(name))
        named = NameSet(chain(spelled, self.table_names()))
        for name in self.files.walk():
            if name not in named:
                yield name, why_skipped(name)

    def names_of(self, row: FileRow) -> list[str]:
        """Files that a row's record is made of."""
        return [row.file_name, row.mask_name]

    def read_mask(self, row: FileRow, image: bytes) -> bytes | None:
        """A row's encoded mask, if it has one.

        Raises
        ------
        Unacceptable
        """
        if not row.mask_name.strip():
            return None
        return self.files.read(row.mask_name, "missing_mask")

    def check_root(self) -> None:
        """Refuses a root that is no folder.

        Raises
        ------
        SourceError
        """
        if not self.files.has_root():
            raise SourceError(
                f"source.root: there is no folder {self.files.shown()}; write the dataset's "
                "folder, absolute or relative to the recipe"
            )

    def record(self, row: FileRow) -> RawRecord:
        """A row with its files read, unless its split is not used."""
        image = mask = None
        refusal = row.refusal
        if refusal is None and row.split in SPLITS:
            try:
                image = self.files.read(row.file_name, "missing_file")
                mask = self.with_ids(self.read_mask(row, image)) if self.classes() else None
            except Unacceptable as error:
                image, refusal = None, error.refusal
        columns = self.values(row.columns) | dict.fromkeys(self.derived)
        return RawRecord(
            row.number, row.file_name, row.image_id, row.split, columns, image, mask, refusal
        )

    def _content_hash(self, name: str) -> str | None:
        if not self.files.is_file(name):
            return None
        with self.files.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
