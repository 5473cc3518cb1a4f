"""Images in a folder, described by a metadata table or by the names of their folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import Classes, RootSource, SplitNames

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.raw import Source


class FolderSource(RootSource):
    """Images in a folder, described by a metadata table or by the names of their folders."""

    kind: Literal["folder"]
    metadata: str | None = Field(
        None,
        description="CSV (with commas, semicolons, tabs or bars), JSON Lines or Parquet, relative "
        "to root; default: metadata.csv, .tsv, .jsonl or .parquet, in root or in the folders of "
        "its splits, else folders named by class.",
    )
    encoding: str | None = Field(
        None,
        description="Encoding of the table, such as cp1252; default: what its byte order mark "
        "says, or UTF-8.",
    )
    image: str = Field("file_name", description="Column of the image's path.")
    mask: str | None = Field(
        None, description="Column of the mask's path; default: mask_name or mask_file_name."
    )
    classes: Classes = Field("classes.json", description="Class id → name, relative to root.")
    split: str | None = Field(
        "split", description="Column of the split; without it folders of splits; null: draw one."
    )
    splits: SplitNames = Field(
        default_factory=dict, description="Split as the column or folders say → split here."
    )

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                "".encode(value)
            except LookupError as error:
                raise ValueError(f"'{value}' is no encoding; such as cp1252 or utf-16") from error
        return value


def open_source(settings: FolderSource, base: Path) -> Source:
    from heml.sources.folder import FolderReader

    return FolderReader(settings, base)


LAYOUTS.register(
    Layout(
        name="folder",
        rank=0,
        description="image files below one folder, with a metadata table or folders named by class",
        settings=FolderSource,
        open=open_source,
    )
)
