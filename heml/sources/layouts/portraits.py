"""The embedded sample: drawn portraits with a planted bias."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import SourceSettings
from heml.taxonomy import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.raw import Source


class PortraitsSource(SourceSettings):
    """The embedded sample: drawn portraits with a planted bias."""

    kind: Literal["portraits"]
    count: int = Field(1200, ge=40, description="Portraits of all splits together.")
    label: str = Field("mouth", description="Attribute that is the label.")
    attributes: list[str] = Field(
        default=["hair_tone"],
        description="Attributes that the label should not rely on; empty: discover them.",
    )
    planted: str | None = Field(
        None, description="Attribute with the bias; null: the first attribute, or hair_tone."
    )
    association: float = Field(
        0.97,
        ge=0,
        le=1,
        description="Share of train portraits whose attribute goes with their label.",
    )
    size: int = Field(128, ge=32, le=1024, description="Width and height in pixels.")
    seed: int = Field(0, ge=0)
    test_share: float = Field(0.3, gt=0, lt=1, description="Share of the balanced test split.")
    validation_share: float = Field(0.0, ge=0, lt=1, description="Likewise, validation.")


def open_source(settings: PortraitsSource, base: Path) -> Source:
    from heml.sources.portraits_source import PortraitsReader

    return PortraitsReader(settings)


def problems(source: PortraitsSource) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Attributes that no portrait has."""
    from heml.sources.portraits.vocabulary import ATTRIBUTES

    named: list[tuple[tuple[str | int, ...], str]] = [(("label",), source.label)]
    named += [(("attributes", n), attribute) for n, attribute in enumerate(source.attributes)]
    if source.planted is not None:
        named.append((("planted",), source.planted))
        if source.planted == source.label:
            yield ("planted",), f"'{source.label}' is the label; name another attribute"
    for location, word in named:
        if word not in ATTRIBUTES:
            yield location, f"portraits have no '{word}'; {nearest(word, ATTRIBUTES)}"


LAYOUTS.register(
    Layout(
        name="portraits",
        rank=60,
        description="the embedded sample: drawn portraits with a planted bias",
        settings=PortraitsSource,
        open=open_source,
        taxonomy="portraits",
        problems=problems,
    )
)
