"""Settings of a segmenter that is fitted on the dataset."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from heml.segmentation.segmenter_settings import PredictorSettings


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
