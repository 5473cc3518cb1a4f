"""Waterbirds as it is distributed (Sagawa et al., ICLR 2020), with CUB's masks where they are.

`metadata.csv` with the columns `img_filename`, `y` (0 landbird, 1 waterbird), `split` (0 train,
1 validation, 2 test) and `place` (0 land, 1 water), and a folder for each species of bird. The
masks are those of CUB-200-2011 (Wah et al. 2011), a file for each image in the same folders.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from heml.images.images_table import open_image
from heml.sources.base import FileRow, FileSource
from heml.sources.files import Files, most_bytes, open_files
from heml.sources.layouts.waterbirds import WaterbirdsSource as WaterbirdsSettings
from heml.sources.raw import Refusal, SourceError, Unacceptable

TABLE, MASKS = "metadata.csv", "segmentations"
_COLUMNS = ("img_filename", "y", "split", "place")
_NAMES = {
    "y": {"0": "landbird", "1": "waterbird"},
    "place": {"0": "land", "1": "water"},
    "split": {"0": "train", "1": "validation", "2": "test"},
}
#: The masks are means of several people's: the bird is where most of them drew it.
_BIRD = 128


def looks_like(files: Files) -> bool:
    """Whether a root has the table of Waterbirds."""
    if not files.is_file(TABLE):
        return False
    with io.TextIOWrapper(files.open(TABLE), "utf-8-sig", errors="replace", newline="") as file:
        return set(_COLUMNS) <= set(next(csv.reader(file), []))


class WaterbirdsReader(FileSource):
    """Birds before land or water; the columns `y`, `place` and `species`.

    Parameters
    ----------
    settings : heml.sources.layouts.waterbirds.WaterbirdsSource
    base : pathlib.Path
    """

    def __init__(self, settings: WaterbirdsSettings, base: Path) -> None:
        super().__init__(settings, open_files(settings.root, base, most_bytes(settings.max_pixels)))
        self.settings = settings

    def check(self, annotated: bool = True) -> None:
        """Refuses a folder of another layout; see `Source.check`."""
        self.check_root()
        if not self.files.is_file(TABLE) or not looks_like(self.files):
            raise SourceError(
                f"source.root: {self.files.shown(TABLE)} with the columns {', '.join(_COLUMNS)} is "
                "not there; write the folder that holds it, such as "
                "waterbird_complete95_forest2water2"
            )
        wanted = self.settings.segmentations
        if wanted is not None and self._masks is None:
            raise SourceError(
                f"source.segmentations: there is no folder {self.files.shown(wanted)}; unpack "
                "CUB's segmentations there"
            )
        if annotated and self._masks is None:
            raise SourceError(
                f"source.segmentations: Waterbirds has no masks, and there is no folder "
                f"{self.files.shown(MASKS)}; unpack CUB's segmentations there, or set segmentation "
                "to a kind that needs no masks"
            )
        self.check_columns()
        self.check_values()

    @property
    def place(self) -> str:
        return self.files.shown(TABLE)

    def given_columns(self) -> list[str]:
        return ["y", "place", "species"]

    def classes(self) -> dict[int, str]:
        return {} if self._masks is None else {0: "background", 1: "bird"}

    def table_names(self) -> list[str]:
        return [TABLE]

    def splits_come_from(self) -> str:
        return "column 'split'"

    def rows(self) -> Iterator[FileRow]:
        with io.TextIOWrapper(self.files.open(TABLE), encoding="utf-8-sig", newline="") as file:
            for number, fields in enumerate(csv.DictReader(file)):
                name = (fields["img_filename"] or "").strip()
                stem = re.sub(r"\.\w+$", "", name)
                named = {
                    column: words.get((fields[column] or "").strip())
                    for column, words in _NAMES.items()
                }
                refusal = None
                if not name or None in named.values():
                    shown = {column: fields[column] for column in _COLUMNS}
                    refusal = Refusal("malformed_row", f"{shown} has a number without a name")
                folder = stem.rpartition("/")[0]
                species = re.sub(r"^\d+\.", "", folder.rpartition("/")[2]).replace("_", " ")
                columns = {"y": named["y"], "place": named["place"], "species": species or None}
                mask = "" if self._masks is None else f"{self._masks}/{stem}.png"
                yield FileRow(number, name, mask, stem, named["split"], columns, refusal)

    def read_mask(self, row: FileRow, image: bytes) -> bytes | None:
        """The bird where most people drew it; see `FileSource.read_mask`."""
        data = super().read_mask(row, image)
        if data is None:
            return None
        try:
            with open_image(data) as mask:
                bird = np.asarray(mask.convert("L")) >= _BIRD
        except Exception as error:  # PIL's parsers raise whatever broken bytes lead to
            raise Unacceptable("mask_unreadable", f"'{row.mask_name}': {error}") from error
        buffer = io.BytesIO()
        Image.fromarray(bird.astype(np.uint8)).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    @cached_property
    def _masks(self) -> str | None:
        """Folder of the masks, if it is there."""
        folder = self.settings.segmentations or MASKS
        found = self.files.listing(folder)
        return folder if found.folders or found.files else None
