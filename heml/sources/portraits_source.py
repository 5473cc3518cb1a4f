"""The drawn portraits as a source: planted bias in the train split, balanced other splits.

Drawing and the words for attributes are in `portraits`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from PIL import Image

from heml.compute.processes import Job, in_processes, process_count
from heml.sources.layouts.portraits import PortraitsSource as PortraitsSettings
from heml.sources.portraits import ATTRIBUTES, CLASSES, draw, plan_attributes
from heml.sources.raw import Limits, RawRecord, SourceError
from heml.taxonomy import nearest

#: Raise it when the drawing changes, so that stored portraits are drawn again.
VERSION = 1
#: Fewer portraits than this are drawn before further processes have started.
WORTH_PROCESSES = 500
#: Portraits that a process draws at a time.
_PART = 16


class PortraitsReader:
    """Portraits drawn from a seed.

    Parameters
    ----------
    settings : heml.sources.layouts.portraits.PortraitsSource
    """

    def __init__(self, settings: PortraitsSettings) -> None:
        self.settings = settings

    @property
    def label(self) -> str:
        return self.settings.label

    @property
    def attributes(self) -> list[str]:
        return list(self.settings.attributes)

    @property
    def labels(self) -> list[str] | None:
        return None

    @property
    def derived(self) -> Mapping[str, int]:
        return {}

    @property
    def limits(self) -> Limits:
        # what is drawn here is never wrong by chance
        return Limits(self.settings.size**2, max_refused=0.0, near_duplicates=True)

    def check(self, annotated: bool = True) -> None:
        """Refuses unknown attributes and shares that leave no train split; see `Source.check`."""
        named = (
            ("label", [self.label]),
            ("attributes", self.attributes),
            ("planted", [self._planted]),
        )
        for key, words in named:
            for word in words:
                if word not in ATTRIBUTES:
                    raise SourceError(
                        f"source.{key}: portraits have no attribute '{word}'; "
                        + nearest(word, ATTRIBUTES)
                    )
        if self.label in self.attributes:
            raise SourceError(
                f"source.attributes: '{self.label}' is also the label; name another attribute"
            )
        if self.label == self._planted:
            raise SourceError(
                f"source.planted: '{self.label}' is the label; name another attribute"
            )
        if self._counts()["train"] < 1:
            raise SourceError(
                "source: test_share and validation_share leave no train portraits; lower them"
            )

    def columns(self) -> list[str]:
        return list(ATTRIBUTES)

    def classes(self) -> dict[int, str]:
        return dict(enumerate(CLASSES))

    @property
    def split_by(self) -> str | None:
        return None

    def value_orders(self) -> dict[str, list[str]]:
        return {}

    def splits_come_from(self) -> str:
        return "drawn as the recipe says"

    def skipped(self) -> Iterable[tuple[str, str]]:
        return ()

    def read_as(self) -> Mapping[str, str]:
        return {}

    def records(self) -> Iterator[RawRecord]:
        rows = [(split, row) for split in self._counts() for row in self._plan(split)]
        planned = [(number, split, attributes) for number, (split, attributes) in enumerate(rows)]
        job = Job("portraits", partial(partial, _drawn, self.settings.seed, self.settings.size))
        parts = [planned[start : start + _PART] for start in range(0, len(planned), _PART)]
        count = process_count() if len(planned) >= WORTH_PROCESSES else 1
        drawn = in_processes(job, parts, count) if count > 1 else map(job.make(), parts)
        for part in drawn:
            yield from part

    def state(self) -> object:
        """The settings and the drawing's version say everything."""
        return {"version": VERSION}

    def quick_state(self) -> object:
        """All of it."""
        return self.state()

    def _counts(self) -> dict[str, int]:
        count = self.settings.count
        test = round(count * self.settings.test_share)
        validation = round(count * self.settings.validation_share)
        return {"train": count - test - validation, "validation": validation, "test": test}

    @property
    def _planted(self) -> str:
        return self.settings.planted or next(iter(self.attributes), "hair_tone")

    def _plan(self, split: str) -> list[Mapping[str, str]]:
        attribute = self._planted
        balanced = 1 / len(ATTRIBUTES[attribute])
        association = self.settings.association if split == "train" else balanced
        position = list(self._counts()).index(split)
        return list(
            plan_attributes(
                self._counts()[split],
                self.label,
                attribute,
                association,
                _seed_of(self.settings.seed, position, "plan"),
            )
        )


def _drawn(
    seed: int, size: int, planned: Sequence[tuple[int, str, Mapping[str, str]]]
) -> list[RawRecord]:
    """Some portraits: their numbers, splits and attributes."""
    records = []
    for number, split, attributes in planned:
        image_id = f"portrait-{number:06d}"
        portrait = draw(attributes, _seed_of(seed, number), size)
        records.append(
            RawRecord(
                row=number,
                file_name=f"{image_id}.png",
                image_id=image_id,
                split=split,
                columns={name: portrait.attributes[name] for name in ATTRIBUTES},
                image=_png(portrait.image),
                mask=_png(portrait.mask),
            )
        )
    return records


def _seed_of(seed: int, number: int, purpose: str = "draw") -> int:
    """A seed of its own for every portrait and plan, unlike those of neighboring settings."""
    words = np.random.SeedSequence([seed, number, int(purpose == "plan")]).generate_state(2)
    return int(words[0]) << 32 | int(words[1])


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
