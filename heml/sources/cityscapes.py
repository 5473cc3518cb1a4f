"""Cityscapes as it is distributed (Cordts et al., CVPR 2016).

`leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png` with
`gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png`, the same for `val`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from heml.sources.base import FileRow, FileSource
from heml.sources.files import most_bytes, open_files
from heml.sources.known_classes import CITYSCAPES
from heml.sources.layouts.cityscapes import CityscapesSource as CityscapesSettings
from heml.sources.raw import SourceError

IMAGES = "leftImg8bit"
_ENDING = f"_{IMAGES}.png"


class CityscapesReader(FileSource):
    """Street scenes; the column `city` is the folder's.

    Parameters
    ----------
    settings : heml.sources.layouts.cityscapes.CityscapesSource
    base : pathlib.Path
    """

    def __init__(self, settings: CityscapesSettings, base: Path) -> None:
        super().__init__(settings, open_files(settings.root, base, most_bytes(settings.max_pixels)))
        self.settings = settings

    def check(self, annotated: bool = True) -> None:
        """Refuses a folder of another layout; see `Source.check`."""
        self.check_root()
        there = self.files.listing().folders
        for folder in [IMAGES, *([self.settings.annotations] if annotated else [])]:
            if folder not in there:
                raise SourceError(
                    f"source.root: there is no folder {self.files.shown(folder)}; write the folder "
                    f"that holds {IMAGES} and {self.settings.annotations}"
                )
        self.check_columns()
        self.check_values()

    def given_columns(self) -> list[str]:
        return ["city"]

    def classes(self) -> dict[int, str]:
        return dict(CITYSCAPES)

    def table_names(self) -> list[str]:
        return []

    def rows(self) -> Iterator[FileRow]:
        masks, number = self.settings.annotations, 0
        for folder in self.files.listing(IMAGES).folders:
            split = self.settings.splits.get(folder, f"{folder} (left out)")
            for city in self.files.listing(f"{IMAGES}/{folder}").folders:
                for name in self.files.listing(f"{IMAGES}/{folder}/{city}").files:
                    if not name.endswith(_ENDING):
                        continue
                    stem = name.removesuffix(_ENDING)
                    yield FileRow(
                        number,
                        f"{IMAGES}/{folder}/{city}/{name}",
                        f"{masks}/{folder}/{city}/{stem}_{masks}_labelIds.png",
                        stem,
                        split,
                        {"city": city},
                    )
                    number += 1
