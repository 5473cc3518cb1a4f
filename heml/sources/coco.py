"""COCO's instances or panoptic segments (Lin et al., ECCV 2014; Kirillov et al., CVPR 2019).

`annotations/instances_train2017.json` with the images in `train2017/`; or `panoptic_train2017.json`
with PNG files in `annotations/panoptic_train2017/`, whose colors number the segments. Other tools
write the same form into `train/_annotations.coco.json`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from heml.images.images_table import open_image
from heml.sources.base import FileRow, FileSource
from heml.sources.coco_files import (
    CocoFile,
    CocoImage,
    annotation_files,
    image_folder,
    joined_name,
    read_coco,
)
from heml.sources.files import most_bytes, open_files
from heml.sources.layouts.coco import CocoSource as CocoSettings
from heml.sources.raw import SourceError, Unacceptable
from heml.sources.splits import DRAWN, as_text, split_folder, split_word
from heml.taxonomy import BACKGROUND

#: Class ids are stored with 8 bits; the last one is for pixels of no category where 0 is taken.
_MOST = 254
UNLABELED = "unlabeled"


class CocoReader(FileSource):
    """Images with masks painted from JSON files; columns `has_<class>` are read off the masks.

    Of two instances on one pixel the smaller is seen; crowds lie below all others.

    Parameters
    ----------
    settings : heml.sources.layouts.coco.CocoSource
    base : pathlib.Path
    """

    def __init__(self, settings: CocoSettings, base: Path) -> None:
        super().__init__(settings, open_files(settings.root, base, most_bytes(settings.max_pixels)))
        self.settings = settings

    def check(self, annotated: bool = True) -> None:
        """Refuses a folder of another layout; see `Source.check`."""
        self.check_root()
        if not self._names:
            raise SourceError(
                f"source.annotations: no JSON file of instances or panoptic segments below "
                f"{self.files.shown()}; name one, relative to root"
            )
        for name in self._names:
            if not self.files.is_file(name):
                raise SourceError(f"source.annotations: there is no file {self.files.shown(name)}")
        for name in self.settings.splits:
            if name not in self._names:
                raise SourceError(
                    f"source.splits: '{name}' is none of the files {', '.join(self._names)}"
                )
        self.check_columns()
        self.check_values()

    @property
    def place(self) -> str:
        return self.files.shown(self._names[0]) if self._names else self.files.shown()

    def given_columns(self) -> list[str]:
        return list(dict.fromkeys(c for f in self._files for i in f.images for c in i.columns))

    def classes(self) -> dict[int, str]:
        names = {self._ids[number]: name for number, name in self._categories.items()}
        return dict(sorted({self._nothing: self._unnamed, **names}.items()))

    def table_names(self) -> list[str]:
        return list(self._names)

    def splits_come_from(self) -> str:
        return DRAWN if self._drawn else "from the names of the JSON files"

    def rows(self) -> Iterator[FileRow]:
        number = 0
        for file in self._files:
            folder = image_folder(self.files, file.name, self.settings.images)
            for image in file.images:
                name = joined_name(folder, image.file_name)
                image_id = name.rpartition(".")[0] or name
                columns = {c: as_text(image.columns.get(c)) for c in self._given_columns}
                split = self._split(file.name)
                if self._drawn:
                    split = self.drawn(image_id, columns)
                mask = self._mask_name(file, image)
                yield FileRow(number, name, mask, image_id, split, columns)
                number += 1

    def read_mask(self, row: FileRow, image: bytes) -> bytes | None:
        """The segments of an image, painted; see `FileSource.read_mask`."""
        file, record = self._record_of[row.number]
        segments = json.loads(record.segments)
        if file.panoptic:
            data = super().read_mask(row, image)
            ids = None if data is None else self._panoptic(data, segments, row.mask_name)
        else:
            ids = self._painted(record.size, segments)
        if ids is None:
            return None
        buffer = io.BytesIO()
        Image.fromarray(ids).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    # --- files ----------------------------------------------------------------------------------

    @cached_property
    def _names(self) -> list[str]:
        return self.settings.annotations or list(annotation_files(self.files))

    @cached_property
    def _files(self) -> list[CocoFile]:
        return [read_coco(self.files, name) for name in self._names if self.files.is_file(name)]

    @cached_property
    def _record_of(self) -> list[tuple[CocoFile, CocoImage]]:
        return [(file, image) for file in self._files for image in file.images]

    def _split(self, name: str) -> str | None:
        if name in self.settings.splits:
            return self.settings.splits[name]
        folder, _, file = name.rpartition("/")
        return split_word(file) or split_folder(folder.rpartition("/")[2])

    @cached_property
    def _drawn(self) -> bool:
        """Whether nothing tells splits apart."""
        if self.settings.split is None:
            return True
        return len({self._split(name) for name in self._names}) < 2

    def _mask_name(self, file: CocoFile, image: CocoImage) -> str:
        """The PNG file of panoptic segments; instances have none."""
        if not file.panoptic:
            return ""
        segments = json.loads(image.segments)
        folder = file.name.removesuffix(".json")
        return joined_name(folder, str(segments[0]["file_name"])) if segments else ""

    # --- classes --------------------------------------------------------------------------------

    @cached_property
    def _categories(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for file in self._files:
            for number, name in file.categories.items():
                if found.setdefault(number, name) != name:
                    raise SourceError(
                        f"{self.files.shown(file.name)}: category {number} is '{name}', in another "
                        f"file '{found[number]}'; number them alike"
                    )
        if len(found) > _MOST:
            raise SourceError(
                f"{self.place}: {len(found)} categories, at most {_MOST} are possible; merge some"
            )
        if len({*found.values(), UNLABELED}) <= len(found):
            raise SourceError(
                f"{self.place}: two categories have one name, or one is called {UNLABELED}; rename "
                "it"
            )
        return dict(sorted(found.items()))

    @cached_property
    def _ids(self) -> dict[int, int]:
        """Category → class id: the same number where all fit into 8 bits."""
        if all(0 <= number <= _MOST for number in self._categories):
            return {number: number for number in self._categories}
        return {number: place for place, number in enumerate(self._categories, start=1)}

    @property
    def _unnamed(self) -> str:
        """Name of pixels that no category has: beside instances, the background."""
        panoptic = any(file.panoptic for file in self._files)
        return UNLABELED if panoptic or BACKGROUND in self._categories.values() else BACKGROUND

    @cached_property
    def _nothing(self) -> int:
        """Class id of pixels that no category has."""
        return 255 if 0 in self._ids.values() else 0

    # --- pixels ---------------------------------------------------------------------------------

    def _painted(self, size: tuple[int, int], segments: list[dict[str, Any]]) -> np.ndarray:
        ids = np.full(size, self._nothing, np.uint8)
        found = []
        for segment in segments:
            mask = _decoded(segment.get("segmentation"), size)
            if mask is not None:
                crowd = bool(segment.get("iscrowd"))
                found.append((crowd, int(mask.sum()), self._id(segment["category_id"]), mask))
        found.sort(key=lambda each: (each[0], each[1]), reverse=True)
        for _, _, number, mask in found:
            ids[mask] = number
        return ids

    def _panoptic(self, data: bytes, segments: list[dict[str, Any]], name: str) -> np.ndarray:
        try:
            with open_image(data) as image:
                colors = np.asarray(image.convert("RGB")).astype(np.int64)
        except Exception as error:  # PIL's parsers raise whatever broken bytes lead to
            raise Unacceptable("mask_unreadable", f"'{name}': {error}") from error
        numbers = colors @ np.array([1, 256, 256 * 256])
        ids = np.full(numbers.shape, self._nothing, np.uint8)
        for segment in segments[0]["segments_info"]:
            ids[numbers == segment["id"]] = self._id(segment["category_id"])
        return ids

    def _id(self, category: Any) -> int:
        if category not in self._ids:
            raise Unacceptable("unknown_class", f"there is no category {category}")
        return self._ids[category]


def _decoded(segmentation: Any, size: tuple[int, int]) -> np.ndarray | None:
    """An instance's pixels, bool (height, width), of polygons or run lengths; None without any."""
    if not segmentation:
        return None  # a box alone
    height, width = size
    try:
        rle = segmentation
        if isinstance(segmentation, list):
            rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
        elif isinstance(segmentation.get("counts"), list):
            rle = coco_mask.frPyObjects(segmentation, height, width)
        found = coco_mask.decode(rle).astype(bool)
    except Exception as error:  # whatever odd numbers lead to
        detail = f"a segmentation is neither polygons nor run lengths: {error}"
        raise Unacceptable("mask_unreadable", detail) from error
    if found.shape != (height, width):
        shown = f"{found.shape[1]}×{found.shape[0]}"
        raise Unacceptable("mask_size", f"a segmentation is {shown}, the image {width}×{height}")
    return found
