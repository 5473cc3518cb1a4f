"""Pascal VOC's segmentation task as it is distributed (Everingham et al., IJCV 2010).

`JPEGImages/2007_000032.jpg`, `SegmentationClass/2007_000032.png` with a palette, and the lists
`ImageSets/Segmentation/train.txt` and `val.txt` of the images that have a mask.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from heml.sources.base import FileRow, FileSource
from heml.sources.files import most_bytes, open_files
from heml.sources.known_classes import VOC
from heml.sources.layouts.voc import VocSource as VocSettings
from heml.sources.raw import SourceError
from heml.taxonomy import nearest

IMAGES, MASKS, LISTS = "JPEGImages", "SegmentationClass", "ImageSets"
_LISTS = f"{LISTS}/Segmentation"


class VocReader(FileSource):
    """Photographs whose columns `has_<class>` are read off the masks.

    Parameters
    ----------
    settings : heml.sources.layouts.voc.VocSource
    base : pathlib.Path
    """

    def __init__(self, settings: VocSettings, base: Path) -> None:
        super().__init__(settings, open_files(settings.root, base, most_bytes(settings.max_pixels)))
        self.settings = settings

    def check(self, annotated: bool = True) -> None:
        """Refuses a folder of another layout; see `Source.check`."""
        self.check_root()
        there = self.files.listing().folders
        for folder in (IMAGES, MASKS, LISTS):
            if folder not in there:
                years = [name for name in there if name.startswith("VOC")]
                hint = f"; is it {years[-1]} in there?" if years else ""
                raise SourceError(
                    f"source.root: there is no folder {self.files.shown(folder)}; write the folder "
                    f"that holds {IMAGES}, {MASKS} and {LISTS}{hint}"
                )
        for name in self.settings.splits:
            if not self.files.is_file(f"{_LISTS}/{name}.txt"):
                raise SourceError(
                    f"source.splits.{name}: there is no file "
                    f"{self.files.shown(f'{_LISTS}/{name}.txt')}; {nearest(name, self._lists())}"
                )
        self.check_columns()
        self.check_values()

    def given_columns(self) -> list[str]:
        return []

    def classes(self) -> dict[int, str]:
        return dict(VOC)

    def table_names(self) -> list[str]:
        return [f"{_LISTS}/{name}.txt" for name in self.settings.splits]

    def splits_come_from(self) -> str:
        return f"from the lists in {_LISTS}"

    def rows(self) -> Iterator[FileRow]:
        number = 0
        for name, split in self.settings.splits.items():
            for stem in self._names(name):
                yield FileRow(
                    number, f"{IMAGES}/{stem}.jpg", f"{MASKS}/{stem}.png", stem, split, {}
                )
                number += 1

    def _names(self, name: str) -> Iterator[str]:
        """Names of the images in a list."""
        path = f"{_LISTS}/{name}.txt"
        if not self.files.is_file(path):
            return
        with io.TextIOWrapper(self.files.open(path), encoding="utf-8-sig") as file:
            for line in file:
                if line.strip():
                    yield line.split()[0]

    def _lists(self) -> list[str]:
        return [name.removesuffix(".txt") for name in self.files.listing(_LISTS).files]
