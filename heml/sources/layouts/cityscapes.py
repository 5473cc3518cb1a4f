"""Cityscapes as it is distributed (Cordts et al., CVPR 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import RootSource, SplitNames

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.files import Listing
    from heml.sources.raw import Source


class CityscapesSource(RootSource):
    """Cityscapes: leftImg8bit and gtFine, with train and val; the column city."""

    kind: Literal["cityscapes"]
    label: str = Field("has_rider", description="has_<class>, or city.")
    annotations: str = Field("gtFine", description="Folder of the masks: gtFine or gtCoarse.")
    splits: SplitNames = Field(
        default={"train": "train", "val": "validation"},
        description="Folder → split; val: test measures the effect on it. The masks of the folder "
        "test are empty, so it is left out.",
    )


def open_source(settings: CityscapesSource, base: Path) -> Source:
    from heml.sources.cityscapes import CityscapesReader

    return CityscapesReader(settings, base)


def recognize(found: Listing) -> dict[str, Any] | None:
    from heml.sources.cityscapes import IMAGES

    there = [name for name in ("gtFine", "gtCoarse") if name in found.folders]
    if IMAGES not in found.folders or not there:
        return None
    more = {} if there[0] == "gtFine" else {"annotations": there[0]}
    return {"splits": {"train": "train", "val": "test"}, **more}


LAYOUTS.register(
    Layout(
        name="cityscapes",
        rank=46,
        description="Cityscapes as it is distributed",
        settings=CityscapesSource,
        open=open_source,
        taxonomy="cityscapes",
        recognize=recognize,
    )
)
