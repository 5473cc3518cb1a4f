"""A dataset that `datasets.load_dataset` reads, from the Hub or from a local folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import Classes, ImageSource, SplitNames

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.raw import Source


class HuggingFaceSource(ImageSource):
    """A dataset that `datasets.load_dataset` reads, from the Hub or from a local folder."""

    kind: Literal["huggingface"]
    dataset: str = Field(
        description="owner/name on the Hub; ./folder, ../folder or an absolute one on this machine."
    )
    config: str | None = Field(None, description="Configuration of the dataset.")
    revision: str | None = Field(None, description="Branch, tag or commit on the Hub.")
    image: str = Field("image", description="Image column.")
    mask: str | None = Field(None, description="Mask column; default: mask, if there is one.")
    classes: Classes | None = Field(None, description="Class id → name.")
    id: str | None = Field(
        None, description="Column of the image id; default: image_id, else split and row number."
    )
    split: str | None = Field(
        "split", description="Column of the split; without it the dataset's splits; null: draw one."
    )
    splits: SplitNames = Field(
        default_factory=dict, description="Split of the dataset → split here."
    )


def open_source(settings: HuggingFaceSource, base: Path) -> Source:
    from heml.sources.huggingface import HuggingFaceReader

    return HuggingFaceReader(settings, base)


LAYOUTS.register(
    Layout(
        name="huggingface",
        rank=20,
        description="a dataset of the Hugging Face Hub, or a folder that `datasets` reads",
        settings=HuggingFaceSource,
        open=open_source,
    )
)
