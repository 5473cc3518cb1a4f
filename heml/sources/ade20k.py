"""ADE20K's SceneParse150 as it is distributed (Zhou et al., CVPR 2017).

`images/training/ADE_train_00000001.jpg` with `annotations/training/ADE_train_00000001.png`, the
same for `validation`, `sceneCategories.txt` and `objectInfo150.txt`.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from heml.sources.base import FileRow, FileSource
from heml.sources.files import most_bytes, open_files
from heml.sources.layouts.ade20k import Ade20kSource as Ade20kSettings
from heml.sources.raw import SourceError

IMAGES, MASKS = "images", "annotations"
SCENES, OBJECTS = "sceneCategories.txt", "objectInfo150.txt"

#: What the masks' 0 stands for: pixels of no class.
OTHER = "other"

#: Index, ratio, train and val; stuff (0 or 1), which the official repository leaves out; name.
_OBJECT = re.compile(r"\s*(\d+)\s+[\d.]+\s+\d+\s+\d+\s+(?:[01]\s+)?([^\W\d].*)")


class Ade20kReader(FileSource):
    """Scenes with their objects; the column `scene` holds the scene's category.

    Parameters
    ----------
    settings : heml.sources.layouts.ade20k.Ade20kSource
    base : pathlib.Path
    """

    def __init__(self, settings: Ade20kSettings, base: Path) -> None:
        super().__init__(settings, open_files(settings.root, base, most_bytes(settings.max_pixels)))
        self.settings = settings

    def check(self, annotated: bool = True) -> None:
        """Refuses a folder of another layout; see `Source.check`."""
        self.check_root()
        if "training" not in self.files.listing(IMAGES).folders:
            raise SourceError(
                f"source.root: there is no folder {self.files.shown(f'{IMAGES}/training')}; write "
                f"the folder that holds {IMAGES}, {MASKS} and {SCENES}"
            )
        for name in (SCENES, OBJECTS):
            if not self.files.is_file(name):
                raise SourceError(f"source.root: there is no file {self.files.shown(name)}")
        self.check_columns()
        self.check_values()

    def given_columns(self) -> list[str]:
        return ["scene"]

    def classes(self) -> dict[int, str]:
        return dict(self._classes)

    @cached_property
    def _classes(self) -> dict[int, str]:
        """By the first of an object's names; all of them where two objects share the first."""
        full: dict[int, str] = {}
        for position, line in enumerate(self._lines(OBJECTS)):
            match = _OBJECT.fullmatch(line)
            if match is not None:
                full[int(match[1])] = match[2].strip()
            elif line and position:  # the first line names the columns
                raise self._no_objects(f"line {position + 1} is '{line[:60]}'")
        if not full or max(full) > 255:
            raise self._no_objects(f"indices up to {max(full, default=0)}")
        first = {number: name.split(",")[0].strip() for number, name in full.items()}
        shared = Counter(first.values())
        names = {n: full[n] if shared[name] > 1 else name for n, name in first.items()}
        return {0: OTHER} | dict(sorted(names.items()))

    def _no_objects(self, found: str) -> SourceError:
        return SourceError(
            f"{self.files.shown(OBJECTS)}: the lines must be index (1 to 255), ratio, train, val, "
            f"stuff (may be left out) and name; {found}"
        )

    def table_names(self) -> list[str]:
        return [SCENES, OBJECTS]

    def rows(self) -> Iterator[FileRow]:
        scenes = self._scenes
        number = 0
        for folder in self.files.listing(IMAGES).folders:
            split = self.settings.splits.get(folder, folder)
            for name in self.files.listing(f"{IMAGES}/{folder}").files:
                stem = PurePosixPath(name).stem
                yield FileRow(
                    number,
                    f"{IMAGES}/{folder}/{name}",
                    f"{MASKS}/{folder}/{stem}.png",
                    stem,
                    split,
                    {"scene": scenes.get(stem)},
                )
                number += 1

    @cached_property
    def _scenes(self) -> dict[str, str]:
        groups = (line.split(maxsplit=1) for line in self._lines(SCENES))
        return {pair[0]: pair[1] for pair in groups if len(pair) == 2}

    def _lines(self, name: str) -> Iterator[str]:
        with io.TextIOWrapper(self.files.open(name), encoding="utf-8-sig") as file:
            for line in file:
                yield line.strip()
