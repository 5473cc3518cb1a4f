"""An image with its segments, and where each of them lies. No pixel is changed here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

Masks = Mapping[str, np.ndarray]
#: (left, top, right, bottom) in pixels, right and bottom exclusive.
Box = tuple[int, int, int, int]
#: Label of pixels of no class.
NO_CLASS = -1
#: Channels of a grey picture differ by no more than this (of 255): JPEG rounds.
_GREY = 2


class Place(NamedTuple):
    """Area, centroid (x, y), spread (standard deviations) and box of a segment, in pixels."""

    area: int
    centre: np.ndarray
    spread: np.ndarray
    box: Box


class _Sums(NamedTuple):
    """Raw moments: count, then sums of x, y, x², y²."""

    moments: np.ndarray
    box: Box


@dataclass(frozen=True)
class Picture:
    """An image with its segments. Arrays are shared between pictures and never changed.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
    masks : mapping of class name to bool array (H, W)
        Where masks overlap, the last one owns the pixel.
    """

    image: np.ndarray
    masks: Masks
    # An image gives to several samples: what is measured of it is measured once.
    _known: dict[object, object] = field(default_factory=dict, compare=False, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def labels(self, names: Sequence[str]) -> np.ndarray:
        """Index of each pixel's class among the names, `NO_CLASS` elsewhere; int16 (H, W)."""
        key = ("labels", tuple(names))
        if key not in self._known:
            labels = np.full(self.size, NO_CLASS, np.int16)
            for number, name in enumerate(names):
                if name in self.masks:
                    np.copyto(labels, number, where=self.masks[name])
            self._known[key] = labels
        return self._known[key]  # type: ignore[return-value]

    def place(self, classes: Iterable[str]) -> Place | None:
        """Where the classes' pixels lie, or None if there are none."""
        found = [sums for name in classes if (sums := self._sums(name)) is not None]
        if not found:
            return None
        n, x, y, xx, yy = np.sum([sums.moments for sums in found], axis=0)
        centre = np.array([x / n, y / n])
        spread = np.sqrt(np.maximum([xx / n - centre[0] ** 2, yy / n - centre[1] ** 2], 0))
        boxes = np.array([sums.box for sums in found])
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        return Place(int(n), centre, spread, box)

    def _sums(self, name: str) -> _Sums | None:
        key = ("sums", name)
        if key not in self._known:
            self._known[key] = _sums_of(self.masks[name]) if name in self.masks else None
        return self._known[key]  # type: ignore[return-value]

    @property
    def grey(self) -> bool:
        """Whether the picture has no colour."""
        if "grey" not in self._known:
            some = self.image[::4, ::4].astype(np.int16)
            self._known["grey"] = bool((some.max(axis=-1) - some.min(axis=-1)).max() <= _GREY)
        return bool(self._known["grey"])


@dataclass(frozen=True)
class Recombined(Picture):
    """A recombined picture, with what was done to which pixels.

    Parameters
    ----------
    pasted : bool array (H, W), optional
        Pixels that show the donor.
    filled : bool array (H, W), optional
        Pixels that show neither host nor donor, but what their surroundings suggest.
    cut_off : float
        Share of the pasted segment's outline that is the donor's border inside the host: there the
        segment ends because its photograph did.
    """

    pasted: np.ndarray | None = None
    filled: np.ndarray | None = None
    cut_off: float = 0.0


def _sums_of(mask: np.ndarray) -> _Sums | None:
    pixels = mask.view(np.uint8)
    # Marginals say everything, and 16 bits are enough for any side that PIL reads.
    across = np.add.reduce(pixels, axis=0, dtype=np.uint16).astype(float)
    down = np.add.reduce(pixels, axis=1, dtype=np.uint16).astype(float)
    columns, rows = np.flatnonzero(across), np.flatnonzero(down)
    if not len(columns):
        return None
    x, y = np.arange(len(across)), np.arange(len(down))
    moments = np.array([across.sum(), across @ x, down @ y, across @ (x * x), down @ (y * y)])
    return _Sums(moments, (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
