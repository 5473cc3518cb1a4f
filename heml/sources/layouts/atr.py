"""ATR human parsing as it is distributed (Liang et al., TPAMI 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import RootSource

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.files import Listing
    from heml.sources.raw import Source


class AtrSource(RootSource):
    """ATR human parsing: JPEGImages and SegmentationClassAug, or the Parquet files of the Hub."""

    kind: Literal["atr"]
    label: str = Field(
        "has_dress", description="has_<class>: whether the mask holds it; or a Parquet column."
    )
    split: str | None = Field(
        "split", description="Column of the split in Parquet files; else one is drawn."
    )


def open_source(settings: AtrSource, base: Path) -> Source:
    from heml.sources.atr import open_atr

    return open_atr(settings, base)


def recognize(found: Listing) -> dict[str, Any] | None:
    from heml.sources.atr import IMAGES, WITHIN

    return {} if {IMAGES, WITHIN} & set(found.folders) else None


LAYOUTS.register(
    Layout(
        name="atr",
        rank=50,
        description="ATR human parsing as it is distributed",
        settings=AtrSource,
        open=open_source,
        recognize=recognize,
    )
)
