"""Images in the rows of Parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import Classes, RootSource, SplitNames

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.raw import Source


class ParquetSource(RootSource):
    """Images in the rows of Parquet files."""

    kind: Literal["parquet"]
    image: str = Field("image", description="Column of bytes, struct{bytes, path} or paths.")
    mask: str | None = Field(None, description="Likewise; default: mask, if there is one.")
    classes: Classes | None = Field(
        None, description="Class id → name; default: classes.json beside the files, if there."
    )
    id: str | None = Field(
        None, description="Column of the image id; default: image_id, else file and row number."
    )
    split: str | None = Field(
        "split", description="Column of the split; without it file names; null: draw one."
    )
    splits: SplitNames = Field(
        default_factory=dict, description="Split as the files or the column say → split here."
    )


def open_source(settings: ParquetSource, base: Path) -> Source:
    from heml.sources.parquet import ParquetReader

    return ParquetReader(settings, base)


LAYOUTS.register(
    Layout(
        name="parquet",
        rank=10,
        description="Parquet files with image bytes or paths",
        settings=ParquetSource,
        open=open_source,
    )
)
