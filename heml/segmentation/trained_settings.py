"""Settings of a segmenter that is fitted on the dataset."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from heml.parts.registered_settings import RegisteredSettings
from heml.segmentation.segmenter import SEGMENTERS, PredictorSegmenter, Segmenter
from heml.segmentation.segmenter_settings import PredictorSettings


def gives_pseudo_labels(segmenter: Segmenter) -> bool:
    """Whether a segmenter finds leaves in images without having seen a mask."""
    return isinstance(segmenter, PredictorSegmenter) and not segmenter.learns_from_masks


def _without_masks(value: Any) -> Any:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    if isinstance(kind, str) and kind in SEGMENTERS and not gives_pseudo_labels(SEGMENTERS[kind]):
        kinds = [part.name for part in SEGMENTERS if gives_pseudo_labels(part)]
        raise ValueError(
            f"kind {kind} needs masks itself; pseudo-labels come from one of: {', '.join(kinds)}"
        )
    return value


PseudoLabelSettings = Annotated[
    PredictorSettings,
    RegisteredSettings(SEGMENTERS, gives_pseudo_labels),
    BeforeValidator(_without_masks),
]


class TrainedSegmentation(PredictorSettings):
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
    steps: int | None = Field(
        None,
        ge=1,
        description="null: by the number of images that it is fitted on, from 1500 to 4000.",
    )
    pseudo_labels: PseudoLabelSettings | None = Field(
        None,
        description="Another segmenter, as segmentation itself would have it (kind: unsupervised, "
        "pretrained or prompted): also learn from what it finds in train images without a mask.",
    )
    least_agreement: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Mean IoU of that segmenter with the annotated masks below which its "
        "pseudo-labels are not used.",
    )
    most_pseudo_labels: int = Field(
        1000, ge=1, description="Images that are pseudo-labeled; of more, their ids choose."
    )
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
