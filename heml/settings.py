"""Settings of each stage, with their defaults: what a recipe may say.

Plain pydantic models without behaviour. Stages take only the settings they need, so that changing
one stage's settings makes no other stage stale.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from data_contracts.rebalance_plan import OPERATORS
from heml.taxonomy import nearest


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
    groups: list[str] = Field(min_length=1, description="Columns of the group attributes.")
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
        default=["hair_tone"], min_length=1, max_length=1, description="Attribute with the bias."
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


TARGETS = ("equal", "independent")


class Quotas(Settings):
    """Records of single cells: label value → value of each group → count or share."""

    quotas: dict[str, Any]


def _target(value: object) -> object:
    """A named target, or quotas with keys as text, counts as int and shares as float."""
    if isinstance(value, Quotas):
        return value
    if isinstance(value, str):
        if value not in TARGETS:
            raise ValueError(f"'{value}' is unknown; {nearest(value, TARGETS)}, or write quotas")
        return value
    if not isinstance(value, Mapping) or set(value) != {"quotas"}:
        raise ValueError("must be equal, independent or a mapping with the one key 'quotas'")
    quotas = value["quotas"]
    if not isinstance(quotas, Mapping) or not quotas:
        raise ValueError(
            "quotas must map label values to group values to counts or shares, such as "
            "{open: {light: 200, dark: 25%}}"
        )
    return Quotas(quotas=_quota_tree(quotas, ()))


def _quota_tree(tree: Mapping[Any, Any], above: tuple[str, ...]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(key, bool) or not isinstance(key, str | int | float):
            raise ValueError(f"quotas.{'.'.join([*above, str(key)])}: put the value in quotes")
        path = (*above, str(key))
        if isinstance(value, Mapping) and value:
            result[path[-1]] = _quota_tree(value, path)
        else:
            result[path[-1]] = _quota(value, path)
    return result


def _quota(value: object, path: tuple[str, ...]) -> int | float:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    percent = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", value) if isinstance(value, str) else None
    if percent and float(percent.group(1)) <= 100:
        return float(percent.group(1)) / 100
    if isinstance(value, float) and 0 <= value <= 1:
        return value  # as written back from a model
    raise ValueError(
        f"quotas.{'.'.join(path)}: must be a number of records, such as 200, or a share, such as "
        f"25%; found {value!r}"
    )


class RebalanceSettings(Settings):
    """What balance to reach, and how."""

    target: Annotated[Literal["equal", "independent"] | Quotas, BeforeValidator(_target)] = Field(
        "equal",
        description="equal: every cell as many records. independent: label and groups independent "
        "with the shares that each has now. Or quotas: records or shares of single cells.",
    )
    budget: float = Field(
        1.5,
        ge=0,
        le=20,
        description="At most this many recombined samples per real train record, controls "
        "included.",
    )
    operators: list[Literal[OPERATORS]] = Field(  # type: ignore[valid-type]
        default=list(OPERATORS), min_length=1
    )
    controls: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Same-cell recombinations of a cell that needs few others, as a share of what "
        "the neediest cell gets, so that an edit mark does not tell the cell.",
    )
    self_recombinations: int = Field(
        48,
        ge=0,
        description="Edits whose donor is their host: controls of the operators' traces. They "
        "never enter the dataset.",
    )
    donor_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="No image gives to more than this share of a cell's samples, neither as donor "
        "nor as host.",
    )
    seed: int = Field(0, ge=0)


class EffectSettings(Settings):
    """How the effect on a held-out test split is measured."""

    enabled: bool = True
    seeds: int = Field(3, ge=1)
    size: int = Field(64, ge=16, description="Side of the training images in pixels.")
    steps: int = Field(400, ge=1, description="Optimizer steps of every arm.")
    batch_size: int = Field(64, ge=2)
