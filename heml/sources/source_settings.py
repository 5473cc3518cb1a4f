"""What settings of sources share: label and attributes, limits, and where a dataset is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heml.parts.settings import Settings


class SourceSettings(Settings):
    """What every source has; its own model adds `kind: Literal[name]` and what else it needs."""

    label: str = Field(
        description="Column of the label; has_<class>: whether the mask holds that class."
    )
    attributes: list[str] = Field(
        default_factory=list, description="Columns of the attributes; has_<class> as above."
    )


class ImageSource(SourceSettings):
    """What every source of given images has."""

    labels: list[str] | None = Field(
        None, min_length=2, description="Values that the label may have; others are refused."
    )
    licence: str | None = Field(None, description="License of the images, carried to every row.")
    max_pixels: int = Field(
        50_000_000,
        gt=0,
        le=178_956_970,  # PIL itself refuses more
        description="Images of more pixels are refused.",
    )
    mask_colors: dict[
        Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")], Annotated[int, Field(ge=0, le=255)]
    ] = Field(
        default_factory=dict,
        description="Color in RGB masks → class id, such as '#ff0000': 1.",
    )
    split_by: str | None = Field(
        None,
        description="Column of the subject, sequence or video: its images never span splits. Drawn "
        "splits keep them together; where splits are given, images in a second split are refused.",
    )
    near_duplicates: Literal["refuse", "keep"] = Field(
        "refuse",
        description="Images that look like an accepted one of another split: refuse or keep them.",
    )
    max_refused: float = Field(
        0.2, ge=0, le=1, description="Share of quarantined rows above which the run stops."
    )


class RootSource(ImageSource):
    """A source of given images below one folder."""

    root: str = Field(
        description="Folder of the dataset, relative to the recipe file, or a URL that fsspec "
        "reads, such as s3://bucket/faces or zip://::faces.zip."
    )


#: Class id → name: a JSON file, a built-in list (atr, celebamask_hq, cityscapes, coco_stuff,
#: oxford_pets, voc), or the mapping itself.
Classes = str | dict[int, str]


SplitNames = dict[str, Literal["train", "validation", "test"]]
