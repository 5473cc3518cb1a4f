"""Pascal VOC's segmentation task as it is distributed (Everingham et al., IJCV 2010)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import RootSource, SplitNames

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.files import Listing
    from heml.sources.raw import Source


class VocSource(RootSource):
    """Pascal VOC: JPEGImages, SegmentationClass and the lists of ImageSets/Segmentation."""

    kind: Literal["voc"]
    label: str = Field("has_person", description="has_<class>: whether the mask holds it.")
    splits: SplitNames = Field(
        default={"train": "train", "val": "validation"},
        description="List of ImageSets/Segmentation → split; val: test measures the effect on it.",
    )


def open_source(settings: VocSource, base: Path) -> Source:
    from heml.sources.voc import VocReader

    return VocReader(settings, base)


def recognize(found: Listing) -> dict[str, Any] | None:
    from heml.sources.voc import IMAGES, LISTS, MASKS

    if not {IMAGES, MASKS, LISTS} <= set(found.folders):
        return None
    return {"splits": {"train": "train", "val": "test"}}


LAYOUTS.register(
    Layout(
        name="voc",
        rank=45,
        description="Pascal VOC's segmentation task as it is distributed",
        settings=VocSource,
        open=open_source,
        taxonomy="voc",
        recognize=recognize,
    )
)
