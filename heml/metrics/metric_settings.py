"""Settings of metric learning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from heml.compute.checkpoints import resolve_checkpoint
from heml.metrics.distance import DEFAULT_DISTANCE, DISTANCES
from heml.metrics.loss import LOSSES
from heml.parts.registered_name import RegisteredName
from heml.parts.settings import Settings
from heml.taxonomy import nearest


class Resolution(Settings):
    """Side of the square node views in pixels, by the node's place in the tree."""

    leaf: int = Field(32, ge=8, le=512)
    branch: int = Field(48, ge=8, le=512)
    root: int = Field(64, ge=8, le=512)
    nodes: dict[str, int] = Field(default_factory=dict, description="Exceptions by node name.")


#: The trunk that needs no checkpoint.
SMALL = "small"


def _trunk(value: Any, info: ValidationInfo) -> Any:
    folder = (info.context or {}).get("folder", Path())
    if isinstance(value, dict):
        if set(value) != {"backbone"} or not isinstance(value["backbone"], str):
            raise ValueError("must be small, or {backbone: name or folder of a checkpoint}")
        value = value["backbone"]
    elif (
        isinstance(value, str)
        and value != SMALL
        and "/" not in value
        and not (folder / value).is_dir()
    ):
        hint = nearest(value, [SMALL])
        if not hint.startswith("did you mean"):
            hint = "use small, or {backbone: name or folder of a checkpoint}"
        raise ValueError(f"'{value}' is unknown; {hint}")
    if not isinstance(value, str) or value == SMALL:
        return value
    return resolve_checkpoint(value, folder)


class MetricSettings(Settings):
    """How the metric of each node is trained."""

    trunk: Annotated[str, BeforeValidator(_trunk)] = Field(
        SMALL,
        min_length=1,
        description="small, or a transformers backbone: its name on the Hub or its folder, "
        "absolute or relative to the recipe file. Also as {backbone: name}.",
    )
    loss: Annotated[str, RegisteredName(LOSSES)] = Field(
        "triplet", description="What networks minimize."
    )
    distance: Annotated[str, RegisteredName(DISTANCES)] = Field(
        DEFAULT_DISTANCE,
        description="What embeddings are compared by, in training and everywhere after it.",
    )
    miner: Literal["default", "all", "semihard", "hard", "multi_similarity"] = Field(
        "default",
        description="Pairs and triplets of a batch to learn from. default: all of them, and for "
        "multi_similarity those that its own miner finds.",
    )
    labels: list[str] | None = Field(
        None,
        min_length=1,
        description="Columns in which two images must agree to count as the same; an identity, or "
        "several attributes. null: the source's label.",
    )
    resolution: Resolution = Resolution()
    epochs: int = Field(25, ge=1)
    batch_size: int = Field(64, ge=4)
    embedding: int = Field(64, ge=2, description="Dimensions of the embedding.")
    margin: float = Field(0.2, gt=0, description="Triplet margin, in units of the distance.")
    learning_rate: float = Field(3e-3, gt=0)
    trunk_learning_rate: float | None = Field(
        None,
        gt=0,
        description="Of the trunk; null: learning_rate for small, a thirtieth for a checkpoint.",
    )
    folds: int = Field(3, ge=2, le=10, description="Cross-fitting folds.")
    warm_start: bool = Field(True, description="Start branches from their children's weights.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where networks train. auto: CUDA, else MPS, else the processor."
    )
    parallel: int | None = Field(
        None,
        ge=1,
        description="Networks that train side by side, at most one per processor. null: as many "
        "as need a third of the memory of one network on whole images.",
    )
    neighbors: int = Field(10, ge=1, description="k of every kNN vote.")
    train_images: int | None = Field(
        None,
        ge=100,
        description="Networks learn from, and bias is measured on, a fixed sample of about this "
        "many images of each split; all others are embedded. null: all images.",
    )
    retrain: Literal["drift", "always", "never"] = Field(
        "drift",
        description="When the source has grown: drift trains nodes again that `drift` or `growth` "
        "asks for and embeds new images with the others; always trains all; never none. Images "
        "that were learned from and have changed or gone always train again.",
    )
    drift: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of new images that are farther from what a node learned from than 95% "
        "of that is from itself. Above it, with 95% confidence, the node trains again.",
    )
    growth: float = Field(
        0.5, ge=0, description="Growth of the train split since training, as a share of it."
    )
    seed: int = Field(0, ge=0)

    @field_validator("labels")
    @classmethod
    def _named_once(cls, value: list[str] | None) -> list[str] | None:
        for column in value or []:
            if (value or []).count(column) > 1:
                raise ValueError(f"'{column}' is named twice; keep one")
        return value

    @model_validator(mode="after")
    def _fits(self) -> MetricSettings:
        if problem := LOSSES[self.loss].problem(self.distance, self.miner):
            raise ValueError(problem)
        return self
