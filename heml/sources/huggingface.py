"""Datasets that the `datasets` library reads, from the Hub or from a local folder, streamed.

No code of a dataset is run, and what its configuration or its rows name is read only if it belongs
to the dataset.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from heml.parts.extras import missing_extra
from heml.sources.files import expanded, most_bytes, open_files, refuse_unsafe
from heml.sources.image_columns import PictureRow, PictureTable
from heml.sources.layouts.huggingface import HuggingFaceSource as HuggingFaceSettings
from heml.sources.parquet_rows import ParquetFile, class_name, is_binary
from heml.sources.raw import SourceError, Unacceptable
from heml.sources.splits import DRAWN, as_text, mapped_split

#: Readers of the `datasets` library that give pictures and nothing but data.
_BUILDERS = ("arrow", "csv", "imagefolder", "json", "parquet", "webdataset")
_ON_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_MEMBER = re.compile(r"(zip|tar)://(.*?)::(.+)", re.DOTALL)


#: Files of the library that describe a dataset.
_ABOUT = ("README.md", "dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json")


class HuggingFaceReader(PictureTable):
    """The rows of a Hugging Face dataset, its splits one after the other.

    Parameters
    ----------
    settings : heml.sources.layouts.huggingface.HuggingFaceSource
    base : pathlib.Path
        Folder that a relative `dataset` starts from: the recipe's.

    Raises
    ------
    SourceError
        If `dataset` is neither a folder nor a name of the Hub.
    """

    def __init__(self, settings: HuggingFaceSettings, base: Path) -> None:
        self._dataset, self._is_local = located(settings.dataset, base)
        root = self._dataset if self._is_local else f"hf://datasets/{self._dataset}"
        if not self._is_local and settings.revision:
            root += f"@{settings.revision}"
        super().__init__(settings, open_files(root, base, most_bytes(settings.max_pixels)))
        self.settings = settings

    @property
    def place(self) -> str:
        return self._dataset

    @cached_property
    def _builder(self) -> Any:
        """The library's reader, refused if it reads anything that is not the dataset's.

        Raises
        ------
        SourceError
        """
        if problem := missing_extra("datasets", "hub"):
            raise SourceError(f"source.kind huggingface: {problem}")
        import datasets

        datasets.disable_progress_bars()
        try:
            builder = datasets.load_dataset_builder(
                self._dataset, self.settings.config, revision=self._revision
            )
        except RuntimeError as error:
            if "script" not in str(error):
                raise
            raise SourceError(
                f"source.dataset: '{self._dataset}' has a loading script, and HEML runs no code of "
                "a dataset; use a copy in Parquet or imagefolder form (on the Hub often the "
                "revision refs/convert/parquet)"
            ) from error
        except Exception as error:  # whatever the library and the network raise
            raise SourceError(
                f"source.dataset: '{self._dataset}' cannot be loaded: {error}"
            ) from error
        if builder.name not in _BUILDERS:
            raise SourceError(
                f"source.dataset: '{self._dataset}' is read as '{builder.name}', which holds no "
                f"pictures; HEML reads {', '.join(_BUILDERS)}"
            )
        for path in (p for paths in (builder.config.data_files or {}).values() for p in paths):
            try:
                self.name_of(path)
            except Unacceptable as error:
                raise SourceError(
                    f"source.dataset: '{self._dataset}' names a file that is not its own: {error}"
                ) from error
        return builder

    @cached_property
    def _parts(self) -> dict[str, Any]:
        """The dataset's split → its rows, pictures not decoded."""
        parts = self._builder.as_streaming_dataset()
        return {
            str(name): (part if part.features else part._resolve_features()).decode(False)
            for name, part in parts.items()
        }

    @property
    def _features(self) -> dict[str, Any]:
        return {name: f for part in self._parts.values() for name, f in part.features.items()}

    @property
    def column_names(self) -> list[str]:
        return list(self._features)

    @property
    def scalar_names(self) -> list[str]:
        from datasets import ClassLabel, Value

        return [
            name
            for name, feature in self._features.items()
            if isinstance(feature, ClassLabel)
            or (isinstance(feature, Value) and "binary" not in feature.dtype)
        ]

    @cached_property
    def class_labels(self) -> dict[str, list[str]]:
        from datasets import ClassLabel

        return {n: list(f.names) for n, f in self._features.items() if isinstance(f, ClassLabel)}

    def check_values(self) -> None:
        # on the Hub, looking at all labels means to download everything: ingesting will tell
        if self._is_local:
            super().check_values()

    def picture_rows(self, columns: Sequence[str]) -> Iterator[PictureRow]:
        from datasets import ClassLabel

        number = 0
        for name, part in self._parts.items():
            named = {
                column: feature.names
                for column, feature in part.features.items()
                if isinstance(feature, ClassLabel)
            }
            wanted = dict.fromkeys([*columns, self.id_column, self.split_column, self.split_by])
            chosen = part.select_columns([c for c in wanted if c in part.features])
            for position, fields in enumerate(self._read_part(name, chosen)):
                for column in named.keys() & fields.keys():
                    fields[column] = class_name(fields[column], named[column])
                image_id = f"{name}-{position:06d}"
                if self.id_column is not None:
                    image_id = as_text(fields.get(self.id_column)) or image_id
                if self.split_column is not None:
                    said = as_text(fields.get(self.split_column))
                    split = mapped_split(said, self.settings.splits)
                elif self._has_splits:
                    split = mapped_split(name, self.settings.splits)
                else:
                    split = self.drawn(image_id, fields)
                yield PictureRow(number, image_id, split, fields)
                number += 1

    def _read_part(self, name: str, part: Any) -> Iterator[dict[str, Any]]:
        try:
            yield from part
        except Exception as error:  # whatever the library and the network raise
            raise SourceError(
                f"source.dataset: split '{name}' of '{self._dataset}' cannot be read on: {error}"
            ) from error

    def state(self) -> object:
        """The files of the dataset, and the stamps of the pictures that rows only name."""
        return {"files": self.quick_state(), "paths": self.stamps_of_paths()}

    def quick_state(self) -> object:
        """The files of the dataset with what the library or the file system says of each."""
        files: dict[str, object] = {}
        for split, name, origins in self._data_files():
            files[f"{split}/{name}"] = self.files.stamp(name) if self._is_local else origins
        if isinstance(self.class_setting, str):
            files[self.class_setting] = self.files.stamp(self.class_setting)
        return files

    def table_names(self) -> list[str] | None:
        if not self._is_local:
            return None
        setting = self.class_setting
        own = [name for _, name, _ in self._data_files()]
        return [*own, *_ABOUT, *([setting] if isinstance(setting, str) else [])]

    def _data_files(self) -> Iterator[tuple[str, str, Any]]:
        """Split, name, and what the library says of the state of every data file."""
        for split, paths in (self._builder.config.data_files or {}).items():
            origins = [list(origin) for origin in paths.origin_metadata]
            for number, path in enumerate(paths):
                # Where the library left files out, it no longer says which state is whose.
                own = origins[number] if len(origins) == len(paths) else origins
                yield str(split), self.name_of(path), own

    def may_name_files(self, column: str) -> bool:
        # on the Hub every file has the commit as its stamp; these readers list the pictures
        if not self._is_local or self._builder.name in ("imagefolder", "webdataset"):
            return False
        if self._builder.name != "parquet":
            return True
        paths = (p for paths in self._builder.config.data_files.values() for p in paths)
        tables = (ParquetFile(self.files, self.name_of(path)) for path in paths)
        return not all(
            table.is_full(f"{column}.bytes") or is_binary(table.schema.field(column).type)
            for table in tables
            if column in table.columns
        )

    def stamp_of(self, path: str) -> object:
        name = self.name_of(path)
        member = _MEMBER.fullmatch(name)
        return self.files.stamp(name if member is None else member[3])

    def name_of(self, path: str) -> str:
        """A path that the library gives, relative to the dataset.

        Raises
        ------
        Unacceptable
            unsafe_path, if it is not the dataset's.
        """
        if member := _MEMBER.fullmatch(path):
            refuse_unsafe(member[2])
            return f"{member[1]}://{member[2]}::{self.name_of(member[3])}"
        if self._is_local:
            name = os.path.relpath(path, self._dataset) if os.path.isabs(path) else path
        else:
            own = re.match(rf"hf://datasets/{re.escape(self._dataset)}(@[^/]+)?/", path)
            name = path[own.end() :] if own else path
        if re.match(r"\w+://", name):
            raise Unacceptable("unsafe_path", f"'{name}' is not a file of '{self._dataset}'")
        refuse_unsafe(name)
        return name

    def read_path(self, path: str, missing: str) -> bytes:
        name = self.name_of(path)
        if (member := _MEMBER.fullmatch(name)) is None:
            return self.files.read(name, missing)
        # the archive must be the dataset's, also when links are followed
        if not self.files.is_file(member[3]):
            raise Unacceptable("unsafe_path", f"'{member[3]}' is not a file of '{self._dataset}'")
        outer = self.files.shown(member[3])
        archive = open_files(f"{member[1]}://::{outer}", Path("/"), self._max_bytes)
        return archive.read(member[2], missing)

    @property
    def _revision(self) -> str | None:
        return None if self._is_local else self.settings.revision

    @property
    def _has_splits(self) -> bool:
        """Whether the dataset's splits are used: one for all rows says nothing."""
        return self.settings.split is not None and len(self._parts) > 1

    def splits_come_from(self) -> str:
        if self.split_column:
            return f"column '{self.split_column}'"
        if not self._has_splits:
            return DRAWN
        return f"the dataset's splits {', '.join(self._parts)}"


def located(dataset: str, base: Path) -> tuple[str, bool]:
    """A dataset's real path, or its name on the Hub; and whether it is local.

    Raises
    ------
    SourceError
    """
    written = expanded(dataset, "dataset")
    folder = base / written
    if written.startswith((".", "/")) or folder.is_dir():
        if not folder.is_dir():
            raise SourceError(
                f"source.dataset: there is no folder {folder}; write a folder, absolute or "
                "relative to the recipe, or owner/name of the Hub"
            )
        return os.path.realpath(folder), True
    if not _ON_HUB.fullmatch(written):
        raise SourceError(
            f"source.dataset: '{dataset}' is neither a folder nor a name of the Hub; write "
            "owner/name, or ./folder"
        )
    return written, False
