"""The Oxford-IIIT Pet dataset as it is distributed (Parkhi et al., CVPR 2012)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import RootSource

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.files import Files
    from heml.sources.raw import Source


class OxfordPetsSource(RootSource):
    """Oxford-IIIT Pet: images and annotations with trimaps; the columns species and breed."""

    kind: Literal["oxford_pets"]
    label: str = Field("species", description="species (cat or dog), breed, or a column.")
    split: Literal["lists"] | None = Field(
        "lists", description="lists: trainval.txt is train, test.txt is test; null: draw one."
    )


def open_source(settings: OxfordPetsSource, base: Path) -> Source:
    from heml.sources.oxford_pets import OxfordPetsReader

    return OxfordPetsReader(settings, base)


def probe(files: Files) -> dict[str, Any] | None:
    from heml.sources.oxford_pets import LIST, MASKS

    folder, _, name = MASKS.rpartition("/")
    there = files.listing(folder)
    return {} if name in there.folders and LIST.rpartition("/")[2] in there.files else None


LAYOUTS.register(
    Layout(
        name="oxford_pets",
        rank=47,
        description="the Oxford-IIIT Pet dataset as it is distributed",
        settings=OxfordPetsSource,
        open=open_source,
        taxonomy="oxford_pets",
        probe=probe,
    )
)
