"""Settings of the segmenters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heml.parts.settings import Settings


class _SegmentQuality(Settings):
    """Which segments are doubted, and what happens to them."""

    least_area: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Segments of a smaller share of the image are doubted as small.",
    )
    least_confidence: float = Field(
        0.0, ge=0, le=1, description="Segments below this mean probability are doubted as unsure."
    )
    doubted: Literal["keep", "drop"] = Field(
        "keep", description="keep: marked in the table; drop: counted and left out."
    )


class AnnotatedSegmentation(_SegmentQuality):
    """Segments are the input's masks."""

    kind: Literal["annotated"] = "annotated"


class _ModelSegmentation(_SegmentQuality):
    """Segments come from a network, one per leaf of the taxonomy."""

    least_area: float = Field(
        0.0005, ge=0, lt=1, description="Segments of a smaller share are doubted as small."
    )
    least_confidence: float = Field(
        0.5, ge=0, le=1, description="Segments below this mean probability are doubted as unsure."
    )
    doubted: Literal["keep", "drop"] = Field(
        "drop", description="keep: marked in the table; drop: counted and left out."
    )
    batch_size: int = Field(8, ge=1, description="Images segmented together.")
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


class PretrainedSegmentation(_ModelSegmentation):
    """Segments from a transformers semantic-segmentation checkpoint."""

    kind: Literal["pretrained"]
    checkpoint: str = Field(
        min_length=1, description="Name on the Hub, or a folder relative to the recipe file."
    )
    classes: dict[str, str | None] = Field(
        default_factory=dict,
        description="Checkpoint's class name → leaf or class of the taxonomy; null: ignored. "
        "Classes that are not named here are matched by name.",
    )
    licence: str | None = Field(
        None, description="License of the checkpoint; default: what its model card says."
    )
    allow_pickle: bool = Field(
        False, description="Also load weights that are not safetensors. They can run code."
    )


class TrainedSegmentation(_ModelSegmentation):
    """Segments from a SegFormer fitted on the annotated train images of the dataset."""

    kind: Literal["trained"]
    size: Literal["small", "b0", "b1", "b2", "b3", "b4", "b5"] = Field(
        "small", description="SegFormer's size; small is narrower than b0, to train from nothing."
    )
    checkpoint: str | None = Field(
        None,
        description="Start from this checkpoint (name or folder) instead of random weights of a "
        "size.",
    )
    allow_pickle: bool = Field(
        False, description="Also start from weights that are not safetensors. They can run code."
    )
    pixels: int = Field(
        24576, ge=4096, description="Pixels of a training image; its shape follows the dataset's."
    )
    steps: int = Field(4000, ge=1)
    batch_size: int = Field(8, ge=1, description="Images per step and per prediction.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak of the one-cycle schedule. null: 0.002 from random weights, 0.0001 from "
        "a checkpoint's.",
    )
    mirror: bool = Field(
        True,
        description="Also learn from mirror images; false where leaves tell left from right.",
    )
    validation_share: float = Field(
        0.15, gt=0, lt=1, description="Share of the annotated train images kept to measure IoU."
    )
    apply: Literal["missing", "all"] = Field(
        "missing",
        description="missing: images with a mask keep it; all: every image is segmented anew.",
    )
    seed: int = Field(0, ge=0)


SegmentationSettings = Annotated[
    AnnotatedSegmentation | PretrainedSegmentation | TrainedSegmentation,
    Field(discriminator="kind"),
]
