"""COCO's instances or panoptic segments, and what other tools write in that form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from heml.sources.layout import LAYOUTS, Layout
from heml.sources.source_settings import RootSource, SplitNames

if TYPE_CHECKING:
    from pathlib import Path

    from heml.sources.files import Files
    from heml.sources.raw import Source


class CocoSource(RootSource):
    """COCO: JSON files of instances or of panoptic segments, and folders of images."""

    kind: Literal["coco"]
    annotations: list[str] | None = Field(
        None,
        min_length=1,
        description="JSON files below root; default: annotations/instances_*.json, else "
        "annotations/panoptic_*.json, else _annotations.coco.json in the folders of splits.",
    )
    images: str | None = Field(
        None,
        description="Folder of the images below root; default: the one named as the JSON file says "
        "(train2017), images/ with it, images, the JSON file's own, or root.",
    )
    split: str | None = Field(
        "file", description="file: by the words in a JSON file's name or folder; null: draw one."
    )
    splits: SplitNames = Field(
        default_factory=dict, description="JSON file as annotations names it → split."
    )


def open_source(settings: CocoSource, base: Path) -> Source:
    from heml.sources.coco import CocoReader

    return CocoReader(settings, base)


def probe(files: Files) -> dict[str, Any] | None:
    from heml.sources.coco_files import annotation_files

    found = annotation_files(files)
    if not found:
        return None
    splits = {name: split for name, split in found.items() if split is not None}
    if "test" not in splits.values():
        # the effect is measured on a test split
        splits = {n: "test" if s == "validation" else s for n, s in splits.items()}
    return {"annotations": list(found), **({"splits": splits} if splits else {})}


LAYOUTS.register(
    Layout(
        name="coco",
        rank=60,
        description="COCO's instances or panoptic segments in JSON files",
        settings=CocoSource,
        open=open_source,
        probe=probe,
    )
)
