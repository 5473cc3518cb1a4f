"""Images in a folder, described by metadata tables, or by the names of the folders they are in.

Both are what the `datasets` library calls an imagefolder. Reads rows and files; what an acceptable
image is, `validate` decides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data_contracts.common import SPLITS
from heml.sources.base import FileRow, FileSource
from heml.sources.class_list import class_list
from heml.sources.files import joined, most_bytes, normal, open_files
from heml.sources.image_names import is_image
from heml.sources.layouts.folder import FolderSource as FolderSettings
from heml.sources.metadata import SUFFIXES, MetadataTable
from heml.sources.raw import Refusal, SourceError
from heml.sources.splits import DRAWN, first_of, mapped_split, split_folder
from heml.taxonomy import nearest

#: Names of the mask column, in the order of preference.
MASK_COLUMNS = ("mask_name", "mask_file_name")

#: Folders of one level whose names are looked at for splits.
_MOST_FOLDERS = 10_000

#: Folders that hold pictures of one sort, not of one class.
_NO_CLASSES = frozenset(
    {"images", "image", "img", "imgs", "masks", "mask", "annotations", "labels"}
)


class _Row(NamedTuple):
    """An image as a table or a folder names it: paths are relative to the root."""

    number: int
    file_name: str
    mask_name: str
    split: str | None
    fields: dict[str, str]
    refusal: Refusal | None


class FolderReader(FileSource):
    """The rows of a folder with their files.

    Parameters
    ----------
    settings : heml.sources.layouts.folder.FolderSource
    base : pathlib.Path
        Folder that a relative `root` starts from: the recipe's.

    Raises
    ------
    SourceError
        If `root` uses an environment variable that is not set, or is a URL that cannot be opened.
    """

    def __init__(self, settings: FolderSettings, base: Path) -> None:
        super().__init__(settings, open_files(settings.root, base, most_bytes(settings.max_pixels)))
        self.settings = settings

    @property
    def place(self) -> str:
        return self._tables[0].place if self._tables else self.files.shown()

    def check(self, annotated: bool = True) -> None:
        """Refuses a folder whose files, columns or values cannot work; see `Source.check`."""
        self.check_root()
        if not self._tables and not self._class_folders():
            raise SourceError(
                f"source.metadata: there is no file {self.files.shown(self._metadata_name)}; "
                + self._tables_there()
            )
        class_list(self.settings.classes, self.files, required=annotated)
        self._check_file_columns(annotated)
        self.check_columns()
        _ = self._split_column
        self.check_values()

    def given_columns(self) -> list[str]:
        if not self._tables:
            return ["label"]
        files = {self.settings.image, self._mask_column}
        names = dict.fromkeys(name for table in self._tables for name in table.columns)
        return [name for name in names if name not in files]

    @cached_property
    def _classes(self) -> dict[int, str]:
        return class_list(self.settings.classes, self.files, required=False)

    def classes(self) -> dict[int, str]:
        return self._classes

    def table_names(self) -> list[str]:
        names = [table.name for table in self._tables]
        if isinstance(self.settings.classes, str):
            names.append(self.settings.classes)
        return names

    def rows(self) -> Iterator[FileRow]:
        given = self._given_columns
        for row in self._named_rows():
            image_id = self._image_id(row.file_name)
            split = row.split
            if split is None and self._split_column is None and not self._splits_by_folder:
                split = self.drawn(image_id, row.fields)
            columns = {name: row.fields.get(name) or None for name in given}
            yield FileRow(
                row.number, row.file_name, row.mask_name, image_id, split, columns, row.refusal
            )

    # --- rows -----------------------------------------------------------------------------------

    @property
    def _metadata_name(self) -> str:
        return self.settings.metadata or "metadata.csv"

    @cached_property
    def _tables(self) -> list[MetadataTable]:
        """The metadata tables; none where folders name the classes."""
        if self.settings.metadata is not None:
            if not self.files.is_file(self.settings.metadata):
                return []
            return [self._table(self.settings.metadata)]
        for folders in ([""], self.files.listing().folders):
            names = [
                first_of((joined(folder, f"metadata{s}") for s in SUFFIXES), self._files_of(folder))
                for folder in folders
            ]
            if found := [self._table(name) for name in names if name]:
                return found
        return []

    def _table(self, name: str) -> MetadataTable:
        return MetadataTable(self.files, name, [self.settings.image], self.settings.encoding)

    def read_as(self) -> dict[str, str]:
        return {table.name: table.form.words for table in self._tables if table.form.words}

    def _files_of(self, folder: str) -> list[str]:
        return [joined(folder, name) for name in self.files.listing(folder).files]

    @cached_property
    def _mask_column(self) -> str | None:
        if self.settings.mask is not None:
            return self.settings.mask
        return first_of(MASK_COLUMNS, (name for table in self._tables for name in table.columns))

    def _named_rows(self) -> Iterator[_Row]:
        rows = self._table_rows() if self._tables else self._folder_rows()
        yield from (row._replace(number=number) for number, row in enumerate(rows))

    def _table_rows(self) -> Iterator[_Row]:
        split_column = self._split_column
        for table in self._tables:
            # a table in a folder speaks of that folder; one that the recipe names, of the root
            folder = "" if self.settings.metadata else table.name.rpartition("/")[0]
            for fields, refusal in table.rows():
                name = fields.get(self.settings.image, "")
                mask = fields.get(self._mask_column or "", "")
                if split_column is not None:
                    said = fields.get(split_column, "").strip() or None
                    split = mapped_split(said, self.settings.splits)
                else:
                    split = self._folder_split(_below(folder, name))
                if folder:
                    name, mask = _below(folder, name), _below(folder, mask)
                yield _Row(0, name, mask, split, fields, refusal)

    def _folder_rows(self) -> Iterator[_Row]:
        for name in self.files.walk():
            if not is_image(name):
                continue
            refusal = None
            if not _is_text(name):
                name = os.fsencode(name).decode("utf-8", "backslashreplace")
                refusal = Refusal("unreadable_file", f"'{name}' is no name in UTF-8; rename it")
            folders = name.split("/")[:-1]
            if self._split_depth is not None:
                folders = folders[: self._split_depth] + folders[self._split_depth + 1 :]
            label = folders[-1] if folders else ""
            yield _Row(0, name, "", self._folder_split(name), {"label": label}, refusal)

    def skipped(self) -> Iterator[tuple[str, str]]:
        """Files that no row is made of, and why; beside tables, images only."""
        if self._tables:
            yield from ((n, why) for n, why in super().skipped() if is_image(n))
            return
        for name in self.files.walk():
            if self.files.is_folder(name):
                yield name, "a link to a folder: put the folder itself there"
            elif not is_image(name):
                yield name, "no ending of an image"

    def _class_folders(self) -> list[str]:
        """Folders that name classes: with images in them, in root or below folders of splits."""
        if self.settings.metadata is not None:
            return []
        folders = self.files.listing().folders
        splits = [name for name in folders if split_folder(name)]
        if splits and self._split_depth == 0:
            folders = [joined(s, name) for s in splits for name in self.files.listing(s).folders]
        if any(name.rpartition("/")[2].lower() in _NO_CLASSES for name in folders):
            return []
        return [
            folder for folder in folders if any(is_image(name) for name in self.files.walk(folder))
        ]

    # --- splits ---------------------------------------------------------------------------------

    @cached_property
    def _split_column(self) -> str | None:
        column = self.settings.split
        if column is None or any(column in table.columns for table in self._tables):
            return column
        if "split" in self.settings.model_fields_set:
            raise self._no_column("split", column)
        return None

    @property
    def _split_depth(self) -> int | None:
        return self._folders_of_splits[0]

    @property
    def _splits_by_folder(self) -> bool:
        """Whether folders tell splits apart: one for all images tells nothing."""
        return self._folders_of_splits[1]

    @cached_property
    def _folders_of_splits(self) -> tuple[int | None, bool]:
        """Where among an image's folders splits are, and whether they are used.

        There are splits where two or more are named, or where all images are in one: `train` beside
        `bus` is a class.
        """
        if self._split_column is not None:
            return None, False
        found: list[set[str]] = []
        for name in self._image_names():
            for depth, folder in enumerate(normal(name).split("/")[:-1]):
                if depth == len(found):
                    found.append(set())
                if len(found[depth]) < _MOST_FOLDERS:
                    found[depth].add(folder)
        for depth, folders in enumerate(found):
            splits = {self._split_named(folder) for folder in folders}
            several = len(splits - {None}) > 1
            if several or (len(folders) == 1 and None not in splits):
                return depth, several and self.settings.split is not None
        return None, False

    def _image_names(self) -> Iterator[str]:
        if not self._tables:
            yield from (name for name in self.files.walk() if is_image(name))
        for table in self._tables:
            folder = "" if self.settings.metadata else table.name.rpartition("/")[0]
            for fields, refusal in table.rows():
                if refusal is None:
                    yield _below(folder, fields.get(self.settings.image, ""))

    def _split_named(self, folder: str) -> str | None:
        return self.settings.splits.get(folder) or split_folder(folder)

    def _folder_split(self, name: str) -> str | None:
        depth = self._split_depth
        if depth is None or not self._splits_by_folder:
            return None
        folders = normal(name).split("/")[:-1]
        if len(folders) <= depth or ".." in folders:
            # A path that leaves its folder is refused, in the split of the table that names it.
            folders = name.split("/")[:-1]
        if len(folders) <= depth:
            return None
        return self._split_named(folders[depth]) or folders[depth]

    def splits_come_from(self) -> str:
        if self._split_column:
            return f"column '{self._split_column}'"
        return "from the folders" if self._splits_by_folder else DRAWN

    # --- ids ------------------------------------------------------------------------------------

    def _image_id(self, name: str) -> str:
        """The relative path without extension; with it where another file shares the rest."""
        path = normal(name)
        stem = _stem(path)
        return path if stem in self._shared_stems else stem

    @cached_property
    def _shared_stems(self) -> set[str]:
        first: dict[str, str] = {}
        shared = set()
        for row in self._named_rows():
            if row.refusal is None and (self._split_column is None or row.split in SPLITS):
                path = normal(row.file_name)
                suffix = PurePosixPath(path).suffix
                if first.setdefault(_stem(path), suffix) != suffix:
                    shared.add(_stem(path))
        return shared

    # --- checks ---------------------------------------------------------------------------------

    def _tables_there(self) -> str:
        folder = self._metadata_name.rpartition("/")[0]
        found = {
            joined(place, name)
            for place in {"", folder}
            for name in self.files.listing(place).files
            if name.endswith(SUFFIXES)
        }
        if not found:
            return (
                f"write a CSV with the columns {self.settings.image}, {MASK_COLUMNS[0]} and the "
                "attributes, or put the images of each label into a folder of its name"
            )
        return nearest(self._metadata_name, found)

    def _check_file_columns(self, annotated: bool) -> None:
        for table in self._tables:
            if self.settings.image not in table.columns:
                raise SourceError(
                    f"{table.place} has no column '{self.settings.image}'; it must give each "
                    "image's path, relative to the "
                    + ("root" if "/" not in table.name or self.settings.metadata else "table")
                )
        mask = self._mask_column
        known = {name for table in self._tables for name in table.columns}
        if self.settings.mask is not None and mask not in known:
            raise self._no_column("mask", self.settings.mask)
        if annotated and mask is None:
            raise SourceError(
                f"{self.place} has no column '{MASK_COLUMNS[0]}'; with 'segmentation: annotated' "
                "it must give each mask's path, relative to the root"
            )


def _below(folder: str, name: str) -> str:
    """A name that a table in a folder gives, as seen from the root; unsafe ones stay unsafe."""
    if not name.strip() or name.startswith("/"):
        return name
    return joined(folder, name)


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8: other bytes come as surrogates, which no table can hold."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _stem(path: str) -> str:
    return path.removesuffix(PurePosixPath(path).suffix) if path else ""
