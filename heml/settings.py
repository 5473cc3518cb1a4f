"""Settings of each stage, with their defaults: what a recipe may say.

Plain pydantic models without behaviour. Stages take only the settings they need, so that changing
one stage's settings makes no other stage stale.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.rebalance_plan import OPERATORS


class Settings(BaseModel):
    """Base: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FolderSource(Settings):
    """Images in a folder, described by a metadata table."""

    kind: Literal["folder"]
    root: str = Field(description="Folder of the dataset, relative to the recipe file.")
    metadata: str = Field("metadata.csv", description="CSV, relative to root.")
    classes: str = Field("classes.json", description="Class id → name, relative to root.")
    label: str = Field(description="Column of the label.")
    groups: list[str] = Field(
        default=[], description="Columns of the group attributes; empty: discover groups."
    )
    split: str | None = Field("split", description="Column of the split; null: split at random.")
    licence: str | None = Field(None, description="Licence of the images, carried to every row.")
    max_pixels: int = Field(
        50_000_000,
        gt=0,
        le=178_956_970,  # PIL itself refuses more
        description="Images of more pixels are refused.",
    )
    max_refused: float = Field(
        0.2, ge=0, le=1, description="Share of quarantined rows above which the run stops."
    )


class PortraitsSource(Settings):
    """The embedded sample: drawn portraits with a planted bias."""

    kind: Literal["portraits"]
    count: int = Field(1200, ge=40, description="Portraits of all splits together.")
    label: str = Field("mouth", description="Attribute that is the label.")
    groups: list[str] = Field(
        default=["hair_tone"],
        description="Attributes that are group attributes; empty: discover groups.",
    )
    planted: str | None = Field(
        None, description="Attribute with the bias; null: the first group, or hair_tone."
    )
    association: float = Field(
        0.97, ge=0, le=1, description="Share of train portraits whose group goes with their label."
    )
    size: int = Field(128, ge=32, le=1024, description="Width and height in pixels.")
    seed: int = Field(0, ge=0)
    test_share: float = Field(0.3, gt=0, lt=1, description="Share of the balanced test split.")
    validation_share: float = Field(0.0, ge=0, lt=1, description="Likewise, validation.")


Source = Annotated[FolderSource | PortraitsSource, Field(discriminator="kind")]


class SegmentationSettings(Settings):
    """Where segments come from."""

    kind: Literal["annotated"] = "annotated"


class Resolution(Settings):
    """Side of the square node views in pixels, by the node's place in the tree."""

    leaf: int = Field(32, ge=8, le=512)
    branch: int = Field(48, ge=8, le=512)
    root: int = Field(64, ge=8, le=512)
    nodes: dict[str, int] = Field(default_factory=dict, description="Exceptions by node name.")


class MetricSettings(Settings):
    """How the metric of each node is trained."""

    trunk: Literal["small"] = "small"
    loss: Literal["triplet"] = "triplet"
    resolution: Resolution = Resolution()
    epochs: int = Field(25, ge=1)
    batch_size: int = Field(64, ge=4)
    embedding: int = Field(64, ge=2, description="Dimensions of the embedding.")
    margin: float = Field(0.2, gt=0, description="Triplet margin in d_SNR.")
    learning_rate: float = Field(3e-3, gt=0)
    folds: int = Field(3, ge=2, le=10, description="Cross-fitting folds.")
    warm_start: bool = Field(True, description="Start branches from their children's weights.")
    neighbours: int = Field(10, ge=1, description="k of every kNN vote.")
    seed: int = Field(0, ge=0)


class BiasSettings(Settings):
    """How bias is measured, and how groups are found where no column gives them."""

    resamples: int = Field(1000, ge=50, description="Bootstrap resamples of every interval.")
    permutations: int = Field(1000, ge=50, description="Shuffles of every permutation test.")
    max_clusters: int = Field(
        5, ge=2, le=20, description="Most values of a discovered group, tried from 2 on."
    )
    seed: int = Field(0, ge=0)


class RebalanceSettings(Settings):
    """What balance to reach, and how."""

    target: Literal["equal"] = Field("equal", description="equal: every cell as many records.")
    budget: float = Field(
        1.0, ge=0, le=20, description="At most this many recombined samples per real train record."
    )
    operators: list[Literal[OPERATORS]] = Field(  # type: ignore[valid-type]
        default=list(OPERATORS), min_length=1
    )
    controls: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Same-cell recombinations per real record of a cell that needs none, so that "
        "an edit mark does not tell the cell.",
    )
    donor_share: float = Field(
        0.05, gt=0, le=1, description="No donor gives to more than this share of a cell's samples."
    )
    seed: int = Field(0, ge=0)


class EffectSettings(Settings):
    """How the effect on a held-out test split is measured."""

    enabled: bool = True
    seeds: int = Field(3, ge=1)
    size: int = Field(64, ge=16, description="Side of the training images in pixels.")
    steps: int = Field(400, ge=1, description="Optimizer steps of every arm.")
    batch_size: int = Field(64, ge=2)
