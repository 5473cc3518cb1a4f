"""Where COCO's JSON files and their images lie, and what of a JSON file is kept."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heml.sources.files import Files, joined
from heml.sources.raw import SourceError
from heml.sources.splits import split_folder, split_word

FOLDER = "annotations"
#: What other tools call the file in each split's folder.
_IN_SPLITS = "_annotations.coco.json"
_KINDS = ("instances_", "panoptic_")
#: Keys of an image that are no metadata.
_NO_COLUMNS = frozenset(
    ("id", "file_name", "height", "width", "license", "coco_url", "flickr_url", "date_captured")
)


def annotation_files(files: Files) -> dict[str, str | None]:
    """JSON files of annotations below a root, with the split that each name speaks of.

    Instances where both are there: panoptic segments are of the same images.
    """
    there = [name for name in files.listing(FOLDER).files if name.endswith(".json")]
    for kind in _KINDS:
        if found := [name for name in there if name.startswith(kind)]:
            return {f"{FOLDER}/{name}": split_word(name) for name in found}
    return {
        f"{folder}/{_IN_SPLITS}": split_folder(folder)
        for folder in files.listing().folders
        if files.is_file(f"{folder}/{_IN_SPLITS}")
    }


@dataclass(frozen=True)
class CocoImage:
    """An image of a JSON file.

    Parameters
    ----------
    file_name : str
        As the JSON file says.
    size : (int, int)
        Height and width.
    columns : dict of str to object
        Its keys that are metadata.
    segments : str
        JSON of its annotations: small in memory.
    """

    file_name: str
    size: tuple[int, int]
    columns: dict[str, object]
    segments: str


@dataclass(frozen=True)
class CocoFile:
    """One JSON file.

    Parameters
    ----------
    name : str
        Relative to the root.
    categories : dict of int to str
    images : list of CocoImage
    panoptic : bool
    """

    name: str
    categories: dict[int, str]
    images: list[CocoImage]
    panoptic: bool


def read_coco(files: Files, name: str) -> CocoFile:
    """A JSON file of instances or panoptic segments.

    Raises
    ------
    SourceError
        If it is none.
    """
    place = files.shown(name)
    with files.open(name) as file:
        try:
            content = json.load(file)
        except ValueError as error:
            raise SourceError(f"{place} is not JSON ({error})") from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise SourceError(
            f"{place} must be an object with the lists images, annotations and categories; is it a "
            "file of captions, of keypoints or of results?"
        )
    try:
        categories = {int(c["id"]): str(c["name"]) for c in content["categories"]}
        of_image: defaultdict[Any, list[Any]] = defaultdict(list)
        panoptic = any("segments_info" in a for a in content["annotations"])
        for annotation in content["annotations"]:
            of_image[annotation["image_id"]].append(_kept(annotation, panoptic))
        images = [
            CocoImage(
                str(image["file_name"]),
                (int(image["height"]), int(image["width"])),
                _columns(image),
                json.dumps(of_image.pop(image["id"], [])),
            )
            for image in content["images"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"{place}: an image, annotation or category lacks {error}, or has a value of another "
            "kind than COCO's"
        ) from error
    return CocoFile(name, categories, images, panoptic)


def image_folder(files: Files, name: str, given: str | None) -> str:
    """Folder of the images that a JSON file speaks of."""
    if given is not None:
        return given
    own, _, file = name.rpartition("/")
    stem = file.removesuffix(".json")
    for kind in _KINDS:
        stem = stem.removeprefix(kind)
    there = files.listing().folders
    if stem in there:
        return stem
    if "images" in there:
        return f"images/{stem}" if stem in files.listing("images").folders else "images"
    return own if file == _IN_SPLITS else ""


def _kept(annotation: Mapping[str, Any], panoptic: bool) -> dict[str, Any]:
    keys: tuple[str, ...] = ("category_id", "segmentation", "iscrowd")
    if panoptic:
        keys = ("file_name", "segments_info")
    return {key: annotation[key] for key in keys if key in annotation}


def _columns(image: Mapping[str, Any]) -> dict[str, object]:
    found = {k: v for k, v in image.items() if k not in _NO_COLUMNS}
    # tools nest what users added
    extra = found.pop("extra", None)
    if isinstance(extra, dict):
        found |= {k: v for k, v in extra.items() if k not in found}
    return {k: v for k, v in found.items() if isinstance(v, str | int | float | bool)}


def joined_name(folder: str, name: str) -> str:
    """An image's or mask's name as seen from the root; unsafe ones stay unsafe."""
    return joined(folder, name) if folder and not name.startswith("/") else name
