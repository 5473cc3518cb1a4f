"""Waterbirds as it is distributed (Sagawa et al., ICLR 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import RootSource

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.files import Files
    from heml.sources.raw import Source


class WaterbirdsSource(RootSource):
    """Waterbirds: birds pasted before land or water; metadata.csv with numbers for names."""

    kind: Literal["waterbirds"]
    label: str = Field("y", description="y (landbird or waterbird), place (land or water).")
    attributes: list[str] = Field(
        default=["place"], description="Columns of the attributes; has_<class> as above."
    )
    segmentations: str | None = Field(
        None,
        description="Folder of CUB's segmentations below root, whose gray from 128 is the bird; "
        "default: segmentations, if it is there.",
    )


def open_source(settings: WaterbirdsSource, base: Path) -> Source:
    from heml.sources.waterbirds import WaterbirdsReader

    return WaterbirdsReader(settings, base)


def probe(files: Files) -> dict[str, Any] | None:
    from heml.sources.waterbirds import looks_like

    return {} if looks_like(files) else None


LAYOUTS.register(
    Layout(
        name="waterbirds",
        rank=48,
        description="Waterbirds as it is distributed",
        settings=WaterbirdsSource,
        open=open_source,
        probe=probe,
    )
)
