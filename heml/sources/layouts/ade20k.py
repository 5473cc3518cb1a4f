"""ADE20K's SceneParse150 as it is distributed (Zhou et al., CVPR 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import RootSource, SplitNames

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.files import Listing
    from heml.sources.raw import Source


class Ade20kSource(RootSource):
    """ADE20K's SceneParse150: images/ and annotations/ with training and validation."""

    kind: Literal["ade20k"]
    label: str = Field("scene", description="scene, or has_<class>.")
    splits: SplitNames = Field(
        default={"training": "train", "validation": "validation"},
        description="Folder → split; validation: test measures the effect on it.",
    )


def open_source(settings: Ade20kSource, base: Path) -> Source:
    from heml.sources.ade20k import Ade20kReader

    return Ade20kReader(settings, base)


def recognize(found: Listing) -> dict[str, Any] | None:
    from heml.sources.ade20k import IMAGES, SCENES

    if SCENES not in found.files or IMAGES not in found.folders:
        return None
    return {"splits": {"training": "train", "validation": "test"}}


LAYOUTS.register(
    Layout(
        name="ade20k",
        rank=40,
        description="ADE20K's SceneParse150 as it is distributed",
        settings=Ade20kSource,
        open=open_source,
        recognize=recognize,
    )
)
