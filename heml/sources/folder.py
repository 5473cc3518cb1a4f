"""Images and masks in a folder, described by a metadata CSV and a class list.

Reads rows and files; what an acceptable image is, `validate` decides.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from data_contracts.common import SPLITS
from heml.settings import FolderSource as FolderSettings
from heml.sources.class_list import read_classes
from heml.sources.files import Files, normal
from heml.sources.raw import Limits, RawRecord, Refusal, SourceError, Unacceptable
from heml.taxonomy import nearest

FILE, MASK = "file_name", "mask_name"

#: Columns beside the groups in every table of records.
_RESERVED = ("image_id", "split", "label")

#: Shares of a drawn split: train up to .7, validation up to .8, test above.
_DRAWN = ((0.7, "train"), (0.8, "validation"), (1.0, "test"))

#: No image format needs more bytes per pixel than 16-bit RGBA; metadata gets some room.
_BYTES_PER_PIXEL, _SPARE_BYTES = 8, 1 << 24


@dataclass(frozen=True)
class _Row:
    """One data row of the CSV: its fields by column, or what is wrong with it."""

    number: int
    fields: dict[str, str]
    refusal: Refusal | None


class FolderSource:
    """The rows of a metadata CSV with their files.

    Parameters
    ----------
    settings : heml.settings.FolderSource
    base : pathlib.Path
        Folder that a relative `root` starts from: the recipe's.

    Raises
    ------
    SourceError
        If `root` uses an environment variable that is not set.
    """

    def __init__(self, settings: FolderSettings, base: Path) -> None:
        self.settings = settings
        self.root = base / _expanded(settings.root)
        self._files = Files(self.root, settings.max_pixels * _BYTES_PER_PIXEL + _SPARE_BYTES)
        self.metadata = self.root / settings.metadata
        self.class_list = self.root / settings.classes

    @property
    def label(self) -> str:
        return self.settings.label

    @property
    def groups(self) -> list[str]:
        return list(self.settings.groups)

    @property
    def limits(self) -> Limits:
        return Limits(self.settings.max_pixels, self.settings.max_refused)

    def check(self, annotated: bool = True) -> None:
        """Refuses a folder whose files, columns or values cannot work; see `Source.check`."""
        if not self.root.is_dir():
            raise SourceError(
                f"source.root: there is no folder {self.root}; write the dataset's folder, "
                "absolute or relative to the recipe"
            )
        if not self.metadata.is_file():
            raise SourceError(
                f"source.metadata: there is no file {self.metadata}; " + self._tables()
            )
        if annotated:
            self.classes()
        self._check_columns(annotated)
        self._check_values()

    def columns(self) -> list[str]:
        return [name for name in self._header if name not in (FILE, MASK)]

    def classes(self) -> dict[int, str]:
        """Class id → name from the class list; see `Source.classes`.

        Raises
        ------
        SourceError
            If the list is missing or is not an object of ids 0 to 255 and distinct names.
        """
        return read_classes(self.class_list)

    def records(self) -> Iterator[RawRecord]:
        for row in self._rows():
            yield self._record(row)

    def state(self) -> object:
        """Hash of the metadata and class list, and size and time of every file that is used."""
        files = hashlib.sha256()
        for row in self._rows():
            if row.refusal is None and self._split(row) in SPLITS:
                for column in (FILE, MASK):
                    files.update(f"{self._files.stamp(row.fields.get(column, ''))}\n".encode())
        return {
            "metadata": _hash_file(self.metadata),
            "classes": _hash_file(self.class_list) if self.class_list.is_file() else None,
            "files": files.hexdigest(),
        }

    # --- rows -----------------------------------------------------------------------------------

    @cached_property
    def _header(self) -> list[str]:
        try:
            with self.metadata.open(encoding="utf-8-sig", newline="") as file:
                header = next(csv.reader(file, strict=True), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._unreadable(error) from error
        if not header:
            raise SourceError(f"{self.metadata} is empty; its first line must name the columns")
        for position, name in enumerate(header):
            if not name.strip():
                raise SourceError(
                    f"{self.metadata}: column {position + 1} has no name; name it or remove it "
                    "(pandas writes such a column unless index=False)"
                )
        twice = [name for name, count in Counter(header).items() if count > 1]
        if twice:
            raise SourceError(f"{self.metadata}: column '{twice[0]}' is there twice; rename one")
        return header

    def _rows(self) -> Iterator[_Row]:
        header = self._header
        try:
            with self.metadata.open(encoding="utf-8-sig", newline="") as file:
                lines = csv.reader(file, strict=True)
                next(lines)
                # csv gives an empty list for a blank line, which is no row
                for number, cells in enumerate(cells for cells in lines if cells):
                    refusal = None
                    if len(cells) != len(header):
                        refusal = Refusal(
                            "malformed_row",
                            f"{len(cells)} fields, the header of {self.settings.metadata} has "
                            f"{len(header)} (line {lines.line_num})",
                        )
                    fields = dict(zip(header, cells, strict=False))
                    yield _Row(number, fields, refusal)
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> SourceError:
        return SourceError(
            f"{self.metadata} is not a CSV in UTF-8 with commas ({error}); save it as one"
        )

    def _record(self, row: _Row) -> RawRecord:
        name = row.fields.get(FILE, "")
        columns = {c: row.fields.get(c) or None for c in self.columns()}
        split = self._split(row)
        image_id = self._image_id(name)

        def record(**extra: object) -> RawRecord:
            return RawRecord(row.number, name, image_id, split, columns, **extra)  # type: ignore[arg-type]

        if row.refusal is not None:
            return record(refusal=row.refusal)
        if split not in SPLITS:
            return record()
        try:
            image = self._files.read(name, "missing_file")
            mask_name = row.fields.get(MASK, "")
            mask = self._files.read(mask_name, "missing_mask") if mask_name.strip() else None
        except Unacceptable as error:
            return record(refusal=error.refusal)
        return record(image=image, mask=mask)

    def _split(self, row: _Row) -> str | None:
        column = self._split_column
        if column is None:
            return drawn_split(self._image_id(row.fields.get(FILE, "")))
        return row.fields.get(column, "").strip() or None

    @cached_property
    def _split_column(self) -> str | None:
        column = self.settings.split
        if column is None or column in self._header:
            return column
        if "split" in self.settings.model_fields_set:
            raise self._no_column("split", column)
        return None

    def _image_id(self, name: str) -> str:
        """The relative path without extension; with it where another file shares the rest."""
        path = normal(name)
        stem = _stem(path)
        return path if stem in self._shared_stems else stem

    @cached_property
    def _shared_stems(self) -> set[str]:
        column = self.settings.split if self.settings.split in self._header else None
        first: dict[str, str] = {}
        shared = set()
        for row in self._rows():
            if row.refusal is None and (
                column is None or row.fields.get(column, "").strip() in SPLITS
            ):
                path = normal(row.fields.get(FILE, ""))
                suffix = PurePosixPath(path).suffix
                if first.setdefault(_stem(path), suffix) != suffix:
                    shared.add(_stem(path))
        return shared

    # --- checks ---------------------------------------------------------------------------------

    def _tables(self) -> str:
        folders = {self.root, self.metadata.parent}
        found = {
            p.relative_to(self.root).as_posix()
            for folder in folders
            if folder.is_dir() and folder.is_relative_to(self.root)
            for p in folder.glob("*.csv")
        }
        if not found:
            return f"write a CSV with the columns {FILE}, {MASK} and the attributes"
        return nearest(self.settings.metadata, found)

    def _no_column(self, key: str, column: str) -> SourceError:
        names = [name for name in self._header if name not in (FILE, MASK)] or self._header
        return SourceError(
            f"source.{key}: {self.metadata} has no column '{column}'; {nearest(column, names)}"
        )

    def _check_columns(self, annotated: bool) -> None:
        if FILE not in self._header:
            raise SourceError(
                f"{self.metadata} has no column '{FILE}'; it must give each image's path, "
                "relative to the root"
            )
        if annotated and MASK not in self._header:
            raise SourceError(
                f"{self.metadata} has no column '{MASK}'; with 'segmentation: annotated' it must "
                "give each mask's path, relative to the root"
            )
        if self.label not in self.columns():
            raise self._no_column("label", self.label)
        for group in self.groups:
            if group not in self.columns():
                raise self._no_column("groups", group)
            if group in _RESERVED:
                raise SourceError(
                    f"source.groups: '{group}' names a column of HEML's own tables; rename it in "
                    f"{self.metadata}"
                )
            if group == self.label or self.groups.count(group) > 1:
                raise SourceError(
                    f"source.groups: '{group}' is named twice or is the label; name other columns"
                )
        assert self._split_column is None or self._split_column in self._header

    def _check_values(self) -> None:
        splits: Counter[str] = Counter()
        train: dict[str, set[str]] = {name: set() for name in (self.label, *self.groups)}
        for row in self._rows():
            if row.refusal is not None:
                continue
            split = self._split(row)
            splits[split or "(empty)"] += 1
            if split == "train":
                for name, values in train.items():
                    values |= {row.fields[name]} - {""}
        if not splits["train"]:
            found = ", ".join(f"'{name}'" for name in splits if name != "train") or "no rows"
            raise SourceError(
                f"{self.metadata}: no row has the split 'train' in column '{self._split_column}' "
                f"(found {found}); write train, validation or test there, or set source.split: null"
            )
        for name, values in train.items():
            if len(values) < 2:
                kind = "label" if name == self.label else "group"
                found = f"only '{next(iter(values))}'" if values else "no value"
                raise SourceError(
                    f"{self.metadata}: the {kind} column '{name}' has {found} in the train split; "
                    f"it needs at least two {kind} values"
                )


def drawn_split(image_id: str) -> str:
    """A split that depends on nothing but the id: 70% train, 10% validation, 20% test."""
    digest = hashlib.sha256(image_id.encode("utf-8", "surrogateescape")).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return next(split for limit, split in _DRAWN if share < limit)


def _expanded(root: str) -> str:
    for match in re.finditer(r"\$(?:(\w+)|\{([^}]*)\})", root):
        name = match[1] or match[2]
        if name not in os.environ:
            raise SourceError(
                f"source.root: '{root}' uses the environment variable {name}, which is not set; "
                f"set it or write the folder"
            )
    return os.path.expanduser(os.path.expandvars(root))


def _stem(path: str) -> str:
    return path.removesuffix(PurePosixPath(path).suffix) if path else ""


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
