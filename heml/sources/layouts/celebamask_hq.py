"""CelebAMask-HQ as it is distributed (Lee et al., CVPR 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import RootSource

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.files import Listing
    from heml.sources.raw import Source


class CelebAMaskHQSource(RootSource):
    """CelebAMask-HQ as it is distributed: faces with masks by part and 40 attributes."""

    kind: Literal["celebamask_hq"]
    split: Literal["celeba"] | None = Field(
        "celeba", description="celeba: the partition of CelebA by the mapping file; null: draw one."
    )


def open_source(settings: CelebAMaskHQSource, base: Path) -> Source:
    from heml.sources.celebamask_hq import CelebAMaskHQReader

    return CelebAMaskHQReader(settings, base)


def recognize(found: Listing) -> dict[str, Any] | None:
    from heml.sources.celebamask_hq import ATTRIBUTES

    return {} if ATTRIBUTES in found.files else None


LAYOUTS.register(
    Layout(
        name="celebamask_hq",
        rank=30,
        description="CelebAMask-HQ as it is distributed",
        settings=CelebAMaskHQSource,
        open=open_source,
        recognize=recognize,
    )
)
