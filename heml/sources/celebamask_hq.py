"""CelebAMask-HQ as it is distributed (Lee et al., "MaskGAN", CVPR 2020).

`CelebA-HQ-img/0.jpg`, one mask for each part at half the size in
`CelebAMask-HQ-mask-anno/0/00000_hair.png` (2000 images a folder),
`CelebAMask-HQ-attribute-anno.txt` with 40 attributes as -1 and 1, and
`CelebA-HQ-to-CelebA-mapping.txt`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from heml.images.images_table import displayed_size, open_image
from heml.sources.base import FileRow, FileSource
from heml.sources.class_list import CELEBAMASK_HQ
from heml.sources.files import most_bytes, open_files
from heml.sources.layouts.celebamask_hq import CelebAMaskHQSource as CelebAMaskHQSettings
from heml.sources.raw import Refusal, SourceError, Unacceptable
from heml.sources.splits import DRAWN

IMAGES, MASKS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"
ATTRIBUTES = "CelebAMask-HQ-attribute-anno.txt"
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"

_MASKS_PER_FOLDER = 2000
_WORDS = {"1": "yes", "-1": "no"}
#: Number of a CelebA file → its split: CelebA's own partition (Liu et al., ICCV 2015).
_LAST_OF_SPLIT = ((162_770, "train"), (182_637, "validation"), (202_599, "test"))


class CelebAMaskHQReader(FileSource):
    """Faces with their parts, attributes as columns with the values yes and no.

    Parameters
    ----------
    settings : heml.sources.layouts.celebamask_hq.CelebAMaskHQSource
    base : pathlib.Path
    """

    def __init__(self, settings: CelebAMaskHQSettings, base: Path) -> None:
        super().__init__(settings, open_files(settings.root, base, most_bytes(settings.max_pixels)))
        self.settings = settings

    def check(self, annotated: bool = True) -> None:
        """Refuses a folder of another layout; see `Source.check`."""
        self.check_root()
        needed = [ATTRIBUTES] + ([MAPPING] if self.settings.split else [])
        for name in needed:
            if not self.files.is_file(name):
                hint = "; or set source.split: null" if name == MAPPING else ""
                raise SourceError(
                    f"source.root: there is no file {self.files.shown(name)}; write the folder "
                    f"that holds {IMAGES}, {MASKS} and {ATTRIBUTES}{hint}"
                )
        self.check_columns()
        self.check_values()

    def classes(self) -> dict[int, str]:
        return dict(CELEBAMASK_HQ)

    @property
    def place(self) -> str:
        return self.files.shown(ATTRIBUTES)

    def given_columns(self) -> list[str]:
        return list(self._names)

    def table_names(self) -> list[str]:
        return [ATTRIBUTES, MAPPING]

    def rows(self) -> Iterator[FileRow]:
        names = self._names
        lines = self._lines(ATTRIBUTES)
        next(lines)
        next(lines)
        splits = self._splits
        for number, line in enumerate(text for text in lines if text):
            groups = line.split()
            refusal = None
            if len(groups) != len(names) + 1:
                detail = f"{len(groups)} fields instead of {len(names) + 1}: '{line[:60]}'"
                refusal = Refusal("malformed_row", detail)
            columns = {
                name: _WORDS.get(value, value)
                for name, value in zip(names, groups[1:], strict=False)
            }
            image_id = PurePosixPath(groups[0]).stem
            split = self.drawn(image_id, columns) if splits is None else splits.get(image_id)
            yield FileRow(number, f"{IMAGES}/{groups[0]}", "", image_id, split, columns, refusal)

    def names_of(self, row: FileRow) -> list[str]:
        return [row.file_name, *(name for _, name in self._parts(row))]

    def read_mask(self, row: FileRow, image: bytes) -> bytes | None:
        """The parts' masks painted over each other in the order of their ids, at the image's size.

        That order and the rule that any pixel but 0 belongs to the part are those of the dataset's
        own `g_mask.py`.
        """
        ids: np.ndarray | None = None
        for class_id, name in self._parts(row):
            try:
                data = self.files.read(name, "missing_mask")
            except Unacceptable as error:
                # a face has the files of the parts that are seen
                if error.refusal.reason == "missing_mask":
                    continue
                raise
            part = _part(data, name)
            if ids is None:
                ids = np.zeros(part.shape, np.uint8)
            if part.shape != ids.shape:
                raise Unacceptable("mask_size", f"'{name}' is not as large as the parts before it")
            ids[part] = class_id
        if ids is None:
            return None
        mask = Image.fromarray(ids)
        try:
            with open_image(image) as header:
                size = displayed_size(header)
        except Exception:  # the image is refused with its own reason
            size = mask.size
        buffer = io.BytesIO()
        mask.resize(size, Image.Resampling.NEAREST).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    def _parts(self, row: FileRow) -> list[tuple[int, str]]:
        """Class id and mask file of every part that a face can have."""
        if not re.fullmatch(r"\d{1,9}", row.image_id):
            return []
        number = int(row.image_id)
        folder = f"{MASKS}/{number // _MASKS_PER_FOLDER}"
        return [
            (class_id, f"{folder}/{number:05d}_{name}.png")
            for class_id, name in CELEBAMASK_HQ.items()
            if class_id
        ]

    @cached_property
    def _names(self) -> list[str]:
        lines = self._lines(ATTRIBUTES)
        count, names = next(lines, ""), next(lines, "").split()
        if not count.isdigit() or not names:
            raise SourceError(
                f"{self.place}: the first line must be the number of images and the second the "
                "names of the attributes"
            )
        return names

    @cached_property
    def _splits(self) -> dict[str, str] | None:
        if self.settings.split is None:
            return None
        splits = {}
        for line in self._lines(MAPPING):
            groups = line.split()
            if len(groups) == 3 and groups[0].isdigit():
                original = int(PurePosixPath(groups[2]).stem)
                splits[groups[0]] = next(s for last, s in _LAST_OF_SPLIT if original <= last)
        return splits

    def _lines(self, name: str) -> Iterator[str]:
        with io.TextIOWrapper(self.files.open(name), encoding="utf-8-sig") as file:
            for line in file:
                yield line.strip()

    def splits_come_from(self) -> str:
        return DRAWN if self._splits is None else f"from {MAPPING}"


def _part(data: bytes, name: str) -> np.ndarray:
    """Where a part is, bool (height, width); its files are gray or gray written as colors."""
    try:
        with open_image(data) as image:
            return np.asarray(image.convert("L")) > 0
    except Exception as error:  # PIL's parsers raise whatever broken bytes lead to
        raise Unacceptable("mask_unreadable", f"'{name}': {error}") from error
