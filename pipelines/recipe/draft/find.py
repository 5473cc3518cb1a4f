"""What kind of source a path or name is, and the source settings that read it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from heml.sources.base import GivenSource
from heml.sources.files import Files, is_url, joined, open_files
from heml.sources.image_columns import PictureTable
from heml.sources.layout import LAYOUTS, AnySource, open_source
from heml.sources.metadata import SUFFIXES, MetadataTable
from heml.sources.parquet import SUFFIXES as PARQUET
from heml.sources.parquet_rows import ParquetFile
from heml.sources.raw import SourceError
from heml.sources.source_settings import SourceSettings

_IMAGE_WORDS = ("image", "img", "picture", "photo", "pixel_values", "jpg", "png", "webp")
_MASK_WORDS = ("mask", "masks", "segmentation", "seg", "annotation", "label_map", "parsing")
_PATH_WORDS = ("file_name", "filename", "file", "path", "image_path", "image", "img")
_TABLE_BYTES = 1 << 40

Content = dict[str, Any]


def find_source(given: str) -> Content:
    """Source settings, as a recipe writes them, without label and attributes.

    Parameters
    ----------
    given : str
        A folder, a metadata table, a Parquet file, a URL, or owner/name on the Hub.

    Raises
    ------
    SourceError
        If nothing there can be read as images.
    """
    path = Path(given).expanduser()
    if is_url(given):
        return _in_folder(open_files(given, Path.cwd(), _TABLE_BYTES), given)
    if path.is_dir():
        root = str(path.absolute())
        return _in_folder(open_files(root, Path("/"), _TABLE_BYTES), root)
    if path.is_file():
        return _from_file(path.absolute())
    if re.fullmatch(r"[\w.-]+/[\w.-]+", given) and not given.startswith("."):
        return _with_picture_columns({"kind": "huggingface", "dataset": given})
    raise SourceError(
        f"'{given}' is no file or folder, no URL and no owner/name of the Hub; write one of them"
    )


def read(content: Content, label: str = "", attributes: list[str] | None = None) -> GivenSource:
    """The reader of drafted settings."""
    whole = {**content, "label": label, "attributes": attributes or []}
    settings: SourceSettings = TypeAdapter(AnySource).validate_python(whole)
    reader = open_source(settings, Path.cwd())
    assert isinstance(reader, GivenSource)
    return reader


def _in_folder(files: Files, root: str) -> Content:
    found = files.listing()
    if not files.has_root() or not (found.files or found.folders):
        raise SourceError(f"there is nothing in {root}")
    for layout in LAYOUTS:
        more = layout.recognize(found)
        if more is None:
            more = layout.probe(files)
        if more is not None:
            return {"kind": layout.name, "root": root, **more}
    if {"dataset_dict.json", "state.json"} & {*found.files}:  # `Dataset.save_to_disk`
        return _with_picture_columns({"kind": "huggingface", "dataset": root})
    # a table named metadata comes before Parquet files that might be shards
    folder = read({"kind": "folder", "root": root})
    tables = [n for n in folder.table_names() if n.endswith(SUFFIXES)]  # type: ignore[attr-defined]
    if tables:
        return _with_table_columns({"kind": "folder", "root": root}, files, tables[0])
    if any(name.lower().endswith(PARQUET) for name in files.walk()):
        return _with_picture_columns({"kind": "parquet", "root": root})
    if others := [name for name in found.files if name.endswith((".csv", ".tsv", ".jsonl"))]:
        content = {"kind": "folder", "root": root, "metadata": others[0]}
        return _with_table_columns(content, files, others[0])
    if any(True for _ in folder.described()):
        return {"kind": "folder", "root": root}
    raise SourceError(
        f"{root}: no metadata table, no Parquet files and no images found; write a metadata.csv "
        "with the columns file_name, mask_name and the attributes"
    )


def _from_file(path: Path) -> Content:
    if path.suffix.lower() in PARQUET:
        table = ParquetFile(open_files(str(path.parent), Path("/"), _TABLE_BYTES), path.name)
        if set(table.columns) - set(table.scalars):
            return _with_picture_columns({"kind": "parquet", "root": str(path)})
    elif path.suffix.lower() not in SUFFIXES:
        raise SourceError(f"{path}: a file must be {', '.join(SUFFIXES)}; or give its folder")
    return _from_table(path)


def _from_table(path: Path) -> Content:
    """A metadata table: its root is the nearest folder above where its images are."""
    files = open_files(str(path.parent), Path("/"), _TABLE_BYTES)
    table = MetadataTable(files, path.name, _PATH_WORDS)
    column = _image_path_column(table)
    first = next((row.fields[column] for row in table.rows() if row.fields.get(column)), None)
    if first is None:
        raise SourceError(f"{path}: column '{column}' names no file")
    for root in path.parents:
        if (root / first).is_file():
            content = {"kind": "folder", "root": str(root)}
            if path != root / "metadata.csv":
                content["metadata"] = path.relative_to(root).as_posix()
            files = open_files(str(root), Path("/"), _TABLE_BYTES)
            return _with_table_columns(content, files, path.relative_to(root).as_posix())
    raise SourceError(f"{path}: no folder above it holds '{first}', its first image")


def _with_table_columns(content: Content, files: Files, name: str) -> Content:
    """The settings with the columns of images and masks, where they are not the default ones."""
    table = MetadataTable(files, name, _PATH_WORDS)
    column = _image_path_column(table)
    if column != "file_name":
        content["image"] = column
    words = ("mask_name", "mask_file_name")
    if not set(words) & set(table.columns):
        mask = next((c for c in table.columns if c != column and _speaks(c, _MASK_WORDS)), None)
        if mask is not None:
            content["mask"] = mask
    if not files.is_file("classes.json") and files.is_file(joined("masks", "classes.json")):
        content["classes"] = "masks/classes.json"
    return content


def _image_path_column(table: MetadataTable) -> str:
    for word in _PATH_WORDS:
        if word in table.columns:
            return word
    raise SourceError(
        f"{table.place}: no column names the images; call it file_name "
        f"(found {', '.join(table.columns)})"
    )


def _with_picture_columns(content: Content) -> Content:
    """The settings with the columns that hold pictures."""
    reader = read(content)
    assert isinstance(reader, PictureTable)
    scalar = set(reader.scalar_names)
    pictures = [name for name in reader.column_names if name not in scalar]
    first = next(reader.picture_rows(pictures), None)
    lists = [n for n in pictures if first is not None and isinstance(first.fields[n], list)]
    pictures = [name for name in pictures if name not in lists]
    # paths are text: only a column of a telling name can be one
    named = [n for n in reader.column_names if n.lower() in _PATH_WORDS or n in pictures]
    masks = [name for name in pictures if _speaks(name, _MASK_WORDS)]
    images = [name for name in named if name not in masks + lists]
    images.sort(key=lambda name: not _speaks(name, _IMAGE_WORDS))
    if not images:
        raise SourceError(
            f"{reader.place}: no column holds images (found {', '.join(reader.column_names)})"
            + (f"; '{lists[0]}' holds lists: write one image per row" if lists else "")
        )
    if images[0] != "image":
        content["image"] = images[0]
    if masks and masks[0] != "mask":
        content["mask"] = masks[0]
    return content


def _speaks(name: str, words: tuple[str, ...]) -> bool:
    return any(part in words for part in re.split(r"[^a-z]+", name.lower())) or name in words
