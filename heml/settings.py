"""Settings of each stage, with their defaults: what a recipe may say.

Plain pydantic models without behaviour. Stages take only the settings they need, so that changing
one stage's settings makes no other stage stale.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from data_contracts.debias_effect import ARMS, EXTRA_ARMS
from data_contracts.rebalance_plan import OPERATORS
from heml.taxonomy import nearest


class Settings(BaseModel):
    """Base: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageSource(Settings):
    """What every source of given images has."""

    label: str = Field(
        description="Column of the label; has_<class>: whether the mask holds that class."
    )
    groups: list[str] = Field(
        default_factory=list, description="Columns of the group attributes; has_<class> as above."
    )
    labels: list[str] | None = Field(
        None, min_length=2, description="Values that the label may have; others are refused."
    )
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


class RootSource(ImageSource):
    """A source of given images below one folder."""

    root: str = Field(
        description="Folder of the dataset, relative to the recipe file, or a URL that fsspec "
        "reads, such as s3://bucket/faces or zip://::faces.zip."
    )


#: Class id → name: a JSON file, a built-in list (atr, celebamask_hq), or the mapping itself.
Classes = str | dict[int, str]
SplitNames = dict[str, Literal["train", "validation", "test"]]


class FolderSource(RootSource):
    """Images in a folder, described by a metadata table or by the names of their folders."""

    kind: Literal["folder"]
    metadata: str | None = Field(
        None,
        description="CSV, JSON Lines or Parquet, relative to root; default: metadata.csv, .jsonl "
        "or .parquet, in root or in the folders of its splits, else folders named by class.",
    )
    image: str = Field("file_name", description="Column of the image's path.")
    mask: str | None = Field(
        None, description="Column of the mask's path; default: mask_name or mask_file_name."
    )
    classes: Classes = Field("classes.json", description="Class id → name, relative to root.")
    split: str | None = Field(
        "split", description="Column of the split; without it folders of splits; null: draw one."
    )
    splits: SplitNames = Field(
        default_factory=dict, description="Split as the column or folders say → split here."
    )


class ParquetSource(RootSource):
    """Images in the rows of Parquet files."""

    kind: Literal["parquet"]
    image: str = Field("image", description="Column of bytes, struct{bytes, path} or paths.")
    mask: str | None = Field(None, description="Likewise; default: mask, if there is one.")
    classes: Classes | None = Field(
        None, description="Class id → name; default: classes.json beside the files, if there."
    )
    id: str | None = Field(
        None, description="Column of the image id; default: image_id, else file and row number."
    )
    split: str | None = Field(
        "split", description="Column of the split; without it file names; null: draw one."
    )
    splits: SplitNames = Field(
        default_factory=dict, description="Split as the files or the column say → split here."
    )


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


class CelebAMaskHQSource(RootSource):
    """CelebAMask-HQ as it is distributed: faces with masks by part and 40 attributes."""

    kind: Literal["celebamask_hq"]
    split: Literal["celeba"] | None = Field(
        "celeba", description="celeba: the partition of CelebA by the mapping file; null: draw one."
    )


class AtrSource(RootSource):
    """ATR human parsing: JPEGImages and SegmentationClassAug, or the Parquet files of the Hub."""

    kind: Literal["atr"]
    label: str = Field(
        "has_dress", description="has_<class>: whether the mask holds it; or a Parquet column."
    )
    split: str | None = Field(
        "split", description="Column of the split in Parquet files; else one is drawn."
    )


class Ade20kSource(RootSource):
    """ADE20K's SceneParse150: images/ and annotations/ with training and validation."""

    kind: Literal["ade20k"]
    label: str = Field("scene", description="scene, or has_<class>.")
    splits: SplitNames = Field(
        default={"training": "train", "validation": "validation"},
        description="Folder → split; validation: test measures the effect on it.",
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


Source = Annotated[
    FolderSource
    | ParquetSource
    | HuggingFaceSource
    | CelebAMaskHQSource
    | AtrSource
    | Ade20kSource
    | PortraitsSource,
    Field(discriminator="kind"),
]


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
        None, description="Licence of the checkpoint; default: what its model card says."
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


class Resolution(Settings):
    """Side of the square node views in pixels, by the node's place in the tree."""

    leaf: int = Field(32, ge=8, le=512)
    branch: int = Field(48, ge=8, le=512)
    root: int = Field(64, ge=8, le=512)
    nodes: dict[str, int] = Field(default_factory=dict, description="Exceptions by node name.")


#: The trunk that needs no checkpoint.
SMALL = "small"


def _trunk(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) != {"backbone"} or not isinstance(value["backbone"], str):
            raise ValueError("must be small, or {backbone: name or folder of a checkpoint}")
        return value["backbone"]
    if isinstance(value, str) and value != SMALL and "/" not in value and not Path(value).is_dir():
        hint = nearest(value, [SMALL])
        if not hint.startswith("did you mean"):
            hint = "use small, or {backbone: name or folder of a checkpoint}"
        raise ValueError(f"'{value}' is unknown; {hint}")
    return value


class MetricSettings(Settings):
    """How the metric of each node is trained."""

    trunk: Annotated[str, BeforeValidator(_trunk)] = Field(
        SMALL,
        min_length=1,
        description="small, or a transformers backbone: its name on the hub or its folder, "
        "absolute or relative to where the run starts. Also as {backbone: name}.",
    )
    loss: Literal[
        "triplet",
        "contrastive",
        "snr_contrastive",
        "n_pairs",
        "lifted_structure",
        "multi_similarity",
        "proxy_anchor",
    ] = "triplet"
    distance: Literal["snr", "cosine", "euclidean"] = Field(
        "snr", description="What the loss compares embeddings with."
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
    neighbours: int = Field(10, ge=1, description="k of every kNN vote.")
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
        if self.loss == "snr_contrastive" and self.distance != "snr":
            raise ValueError(
                f"loss snr_contrastive has no distance {self.distance}; "
                "use loss contrastive, or distance snr"
            )
        if self.miner != "default" and self.loss in ("n_pairs", "lifted_structure", "proxy_anchor"):
            raise ValueError(f"loss {self.loss} chooses its pairs itself; use miner default")
        return self


class BiasSettings(Settings):
    """How bias is measured, and how groups are found where no column gives them."""

    resamples: int = Field(1000, ge=50, description="Bootstrap resamples of every interval.")
    permutations: int = Field(1000, ge=50, description="Shuffles of every permutation test.")
    max_clusters: int = Field(
        5, ge=2, le=20, description="Most values of a discovered group, tried from 2 on."
    )
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
            raise ValueError(f"'{value}' is unknown; {nearest(value, [*TARGETS, 'quotas'])}")
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
    budget: float | None = Field(
        None,
        ge=0,
        le=20,
        description="At most this many recombined samples per real train record, controls and "
        "variety included. null: 1.5, and up to 5 in a dataset so small that `variety` needs it.",
    )
    variety: int = Field(
        2000,
        ge=0,
        description="Beyond what the target asks, samples are added to all cells until there are "
        "this many, as far as the budget goes: in a small dataset, many hosts with many donors "
        "teach more than the target alone.",
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
    donor_colours: bool = Field(
        True,
        description="The host's other segments get the donor's colours: what goes with a group "
        "beside its carriers goes along. Segments whose colours tell the label keep them.",
    )
    seed: int = Field(0, ge=0)


class DatasetSettings(Settings):
    """How the rebalanced dataset is written, and in which other formats too."""

    surplus: Literal["weight", "drop"] = Field(
        "weight",
        description="Real train rows too many for their cell: weigh them down, or leave them out.",
    )
    shard_mb: int = Field(
        400, ge=1, le=4000, description="A Parquet file ends at this size, in MB of images."
    )
    exports: list[Literal["imagefolder", "webdataset", "coco"]] = Field(
        default=[], description="Formats to write beside the Parquet files, into exports/."
    )


class InpaintSettings(Settings):
    """Drawing seams and holes of recombined samples anew with a diffusion model."""

    checkpoint: str = Field(
        min_length=1,
        description="A diffusers checkpoint that can inpaint: its name, or a folder relative to "
        "the recipe file. Safetensors only.",
    )
    region: Literal["seam", "hole", "both"] = Field(
        "both", description="seam: a band along what was pasted; hole: what was filled."
    )
    strength: float = Field(
        0.4, gt=0, le=1, description="How far what was there is noised: 1 draws all anew."
    )
    steps: int = Field(20, ge=1, le=1000, description="Denoising steps.")
    guidance: float = Field(7.5, ge=0, description="Classifier-free guidance scale.")
    band: float = Field(
        0.012, gt=0, le=0.2, description="Half the band's width, as a share of the shorter side."
    )
    prompt: str = Field("a photo, {segments}", description="{segments}: names of moved classes.")
    side: int | None = Field(
        None, ge=8, le=4096, description="Pixels that the model sees; null: its own."
    )
    batch_size: int = Field(4, ge=1, description="Samples that are drawn together.")


class Watch(Settings):
    """How the source is watched for changes."""

    every: int = Field(300, ge=10, description="Seconds between two looks at the source.")


class Limits(Settings):
    """Values above which a check warns, and fails."""

    warn: float | None = Field(None, ge=0, le=1, description="Above it the check warns.")
    error: float | None = Field(
        None, ge=0, le=1, description="Above it the check fails and stops what follows."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warn is not None and self.error is not None and self.warn > self.error:
            raise ValueError(f"warn ({self.warn:g}) must not be above error ({self.error:g})")
        return self


class BudgetSettings(Settings):
    """What a run may find before somebody is told, or the run is stopped."""

    score: Limits = Field(
        Limits(), description="Highest bias score of a leaf, for every group column."
    )
    groups: dict[str, Limits] = Field(
        default={},
        description="Likewise, for groups whose limits differ from `score`; several taken "
        "together are written as the table names them: 'hair_tone × age'.",
    )
    rise: Limits = Field(
        Limits(), description="Rise of a leaf's bias score since the previous measurement."
    )
    quarantined: Limits = Field(
        Limits(), description="Share of quarantined rows among accepted and quarantined ones."
    )


class EffectSettings(Settings):
    """How the effect on a held-out test split is measured."""

    enabled: bool = True
    seeds: int = Field(3, ge=1)
    size: int = Field(64, ge=16, description="Side of the training images in pixels.")
    steps: int = Field(400, ge=1, description="Optimizer steps of every arm.")
    batch_size: int = Field(64, ge=2)
    arms: list[Literal[EXTRA_ARMS]] = Field(  # type: ignore[valid-type]
        default=[], description="Other ways to train on the data as it is, to compare with."
    )

    @property
    def all_arms(self) -> tuple[str, ...]:
        """The arms that are always measured, and the recipe's, in the order of tables."""
        return tuple(arm for arm in ARMS if arm not in EXTRA_ARMS or arm in self.arms)
