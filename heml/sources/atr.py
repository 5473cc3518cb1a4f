"""ATR human parsing as it is distributed (Liang et al., TPAMI 2015): folders, or Parquet files.

`JPEGImages/` and `SegmentationClassAug/`, often below `humanparsing/`; on the Hub, Parquet files
with the columns `image` and `mask`. The set has no labels: columns `has_<class>` are read off the
masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from heml.sources.base import FileRow, FileSource
from heml.sources.class_list import ATR
from heml.sources.files import joined, most_bytes, open_files
from heml.sources.layouts.atr import AtrSource as AtrSettings
from heml.sources.layouts.parquet import ParquetSource as ParquetSettings
from heml.sources.parquet import ParquetReader
from heml.sources.raw import SourceError
from heml.sources.splits import DRAWN, drawn_split

IMAGES, MASKS = "JPEGImages", "SegmentationClassAug"
WITHIN = "humanparsing"


def open_atr(settings: AtrSettings, base: Path) -> AtrFiles | ParquetReader:
    """The reader of whichever form lies at the root."""
    files = AtrFiles(settings, base)
    if files.found or not any(name.endswith(".parquet") for name in files.files.walk()):
        return files
    shared = settings.model_dump(exclude_unset=True, exclude={"kind"})
    return ParquetReader(
        ParquetSettings(kind="parquet", classes="atr", **{"label": settings.label} | shared), base
    )


class AtrFiles(FileSource):
    """Photographs and masks in two folders, the split drawn.

    Parameters
    ----------
    settings : heml.sources.layouts.atr.AtrSource
    base : pathlib.Path
    """

    def __init__(self, settings: AtrSettings, base: Path) -> None:
        super().__init__(settings, open_files(settings.root, base, most_bytes(settings.max_pixels)))
        self.settings = settings

    @cached_property
    def _folder(self) -> str:
        return WITHIN if WITHIN in self.files.listing().folders else ""

    @property
    def found(self) -> bool:
        """Whether the folders are there."""
        return IMAGES in self.files.listing(self._folder).folders

    def check(self, annotated: bool = True) -> None:
        """Refuses a folder of another layout; see `Source.check`."""
        self.check_root()
        if not self.found:
            raise SourceError(
                f"source.root: there is no folder {self.files.shown(IMAGES)} and no Parquet file; "
                f"write the folder that holds {IMAGES} and {MASKS}"
            )
        self.check_columns()
        self.check_values()

    def given_columns(self) -> list[str]:
        return []

    def classes(self) -> dict[int, str]:
        return dict(ATR)

    def table_names(self) -> list[str]:
        return []

    def splits_come_from(self) -> str:
        return DRAWN

    def rows(self) -> Iterator[FileRow]:
        images, masks = joined(self._folder, IMAGES), joined(self._folder, MASKS)
        for number, name in enumerate(self.files.listing(images).files):
            stem = PurePosixPath(name).stem
            mask = f"{masks}/{stem}.png"
            yield FileRow(number, f"{images}/{name}", mask, stem, drawn_split(stem), {})
