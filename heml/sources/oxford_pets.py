"""The Oxford-IIIT Pet dataset as it is distributed (Parkhi et al., CVPR 2012).

`images/Abyssinian_1.jpg`, `annotations/trimaps/Abyssinian_1.png`, `annotations/list.txt` with the
lines `Abyssinian_1 1 1 1` (class, species: 1 cat, 2 dog, breed), `trainval.txt` and `test.txt`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from heml.sources.base import FileRow, FileSource
from heml.sources.files import most_bytes, open_files
from heml.sources.known_classes import OXFORD_PETS
from heml.sources.layouts.oxford_pets import OxfordPetsSource as OxfordPetsSettings
from heml.sources.raw import Refusal, SourceError
from heml.sources.splits import DRAWN

IMAGES, MASKS = "images", "annotations/trimaps"
LIST, TRAIN, TEST = (f"annotations/{name}.txt" for name in ("list", "trainval", "test"))
_SPECIES = {"1": "cat", "2": "dog"}


class OxfordPetsReader(FileSource):
    """Cats and dogs; the columns `species` and `breed`.

    Parameters
    ----------
    settings : heml.sources.layouts.oxford_pets.OxfordPetsSource
    base : pathlib.Path
    """

    def __init__(self, settings: OxfordPetsSettings, base: Path) -> None:
        super().__init__(settings, open_files(settings.root, base, most_bytes(settings.max_pixels)))
        self.settings = settings

    def check(self, annotated: bool = True) -> None:
        """Refuses a folder of another layout; see `Source.check`."""
        self.check_root()
        for name in (LIST, *([TRAIN, TEST] if self.settings.split else [])):
            if not self.files.is_file(name):
                raise SourceError(
                    f"source.root: there is no file {self.files.shown(name)}; write the folder "
                    f"that holds {IMAGES} and annotations"
                    + ("" if name == LIST else ", or set source.split: null")
                )
        self.check_columns()
        self.check_values()

    @property
    def place(self) -> str:
        return self.files.shown(LIST)

    def given_columns(self) -> list[str]:
        return ["species", "breed"]

    def classes(self) -> dict[int, str]:
        return dict(OXFORD_PETS)

    def table_names(self) -> list[str]:
        return [LIST, *([TRAIN, TEST] if self.settings.split else [])]

    def splits_come_from(self) -> str:
        return "from trainval.txt and test.txt" if self.settings.split else DRAWN

    def rows(self) -> Iterator[FileRow]:
        splits = self._splits
        for number, line in enumerate(self._lines(LIST)):
            name, *numbers = line.split()
            columns: dict[str, str | None] = {"species": None, "breed": None}
            refusal = None
            if len(numbers) != 3 or numbers[1] not in _SPECIES:
                refusal = Refusal(
                    "malformed_row", f"'{line[:60]}' is no name, class, species (1, 2) and breed"
                )
            else:
                breed = name.rpartition("_")[0].replace("_", " ").lower()
                columns = {"species": _SPECIES[numbers[1]], "breed": breed}
            split = self.drawn(name, columns) if splits is None else splits.get(name)
            image, mask = f"{IMAGES}/{name}.jpg", f"{MASKS}/{name}.png"
            yield FileRow(number, image, mask, name, split, columns, refusal)

    @cached_property
    def _splits(self) -> dict[str, str] | None:
        if self.settings.split is None:
            return None
        return {
            line.split()[0]: split
            for name, split in ((TRAIN, "train"), (TEST, "test"))
            for line in self._lines(name)
        }

    def _lines(self, name: str) -> Iterator[str]:
        """Lines that are no comment."""
        with io.TextIOWrapper(self.files.open(name), encoding="utf-8-sig") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    yield line.strip()
