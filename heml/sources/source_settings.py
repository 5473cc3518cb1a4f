"""Settings of the sources: where a dataset is and how its columns are called."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heml.parts.settings import Settings


class ImageSource(Settings):
    """What every source of given images has."""

    label: str = Field(
        description="Column of the label; has_<class>: whether the mask holds that class."
    )
    attributes: list[str] = Field(
        default_factory=list, description="Columns of the attributes; has_<class> as above."
    )
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
    attributes: list[str] = Field(
        default=["hair_tone"],
        description="Attributes that are attributes; empty: discover attributes.",
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
