"""An image with its segments, and where each of them lies. No pixel is changed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar, cast

import numpy as np

T = TypeVar("T")
Masks = Mapping[str, np.ndarray]
#: (left, top, right, bottom) in pixels, right and bottom exclusive.
Box = tuple[int, int, int, int]
#: Label of pixels of no class.
NO_CLASS = -1
#: Channels of a gray image differ by no more than this (of 255): JPEG rounds.
_GRAY = 2


class Place(NamedTuple):
    """Area, centroid (x, y), spread (standard deviations) and box of a segment, in pixels."""

    area: int
    center: np.ndarray
    spread: np.ndarray
    box: Box


class _Sums(NamedTuple):
    """Raw moments of all classes.

    Parameters
    ----------
    moments : list of C lists of 5 floats
        Count, then sums of x, y, x², y².
    boxes : list of C lists of 4 ints
        Of classes with a pixel.
    """

    moments: list[list[float]]
    boxes: list[list[int]]


@dataclass(frozen=True)
class SegmentedImage:
    """An image with its segments. Arrays are shared between images and never changed.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
    masks : mapping of class name to bool array (H, W)
        Where masks overlap, the last one owns the pixel.
    """

    image: np.ndarray
    masks: Masks
    # An image is host or donor of several samples: measurements are made once.
    _known: dict[object, object] = field(default_factory=dict, compare=False, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def labels(self, names: Sequence[str]) -> np.ndarray:
        """Index of each pixel's class among the names, `NO_CLASS` elsewhere; int16 (H, W)."""
        return self.once(("labels", tuple(names)), lambda: self._labels(names))

    def _labels(self, names: Sequence[str]) -> np.ndarray:
        # Where masks overlap, the class with the highest index wins.
        highest = np.zeros(self.size, np.uint8 if len(names) < 256 else np.uint16)
        for number, name in enumerate(names, start=1):
            if name in self.masks:
                own = self.masks[name].view(np.uint8)
                np.maximum(highest, own * highest.dtype.type(number), out=highest)
        return highest.astype(np.int16) + np.int16(NO_CLASS)

    def place(self, classes: Iterable[str]) -> Place | None:
        """Where the classes' pixels lie, or None if there are none."""
        chosen = tuple(classes)
        return self.once(("place", chosen), lambda: self._place(chosen))

    def _place(self, classes: Sequence[str]) -> Place | None:
        names = list(self.masks)
        sums = self.once("sums", lambda: _sums_of(self.labels(names), len(names)))
        rows = [names.index(c) for c in classes if c in self.masks]
        rows = [row for row in rows if sums.moments[row][0]]
        if not rows:
            return None
        # For so few numbers plain floats are faster than arrays.
        n, x, y, xx, yy = map(sum, zip(*(sums.moments[row] for row in rows), strict=True))
        center = np.array([x / n, y / n])
        spread = np.array([xx / n - (x / n) ** 2, yy / n - (y / n) ** 2]).clip(0) ** 0.5
        lefts, tops, rights, bottoms = zip(*(sums.boxes[row] for row in rows), strict=True)
        return Place(int(n), center, spread, (min(lefts), min(tops), max(rights), max(bottoms)))

    @property
    def gray(self) -> bool:
        """Whether the image has no color."""
        return self.once("gray", self._is_gray)

    def _is_gray(self) -> bool:
        red, green, blue = np.moveaxis(self.image[::4, ::4], -1, 0)
        brightest = np.maximum(np.maximum(red, green), blue)
        darkest = np.minimum(np.minimum(red, green), blue)
        return bool((brightest - darkest).max() <= _GRAY)

    def once(self, key: object, measure: Callable[[], T]) -> T:
        """What `measure` gives, measured at the first call with a key."""
        if key not in self._known:
            self._known[key] = measure()
        return cast(T, self._known[key])


@dataclass(frozen=True)
class Recombined(SegmentedImage):
    """A recombined image, with what was done to which pixels.

    Parameters
    ----------
    pasted : bool array (H, W), optional
        Pixels that show the donor.
    filled : bool array (H, W), optional
        Pixels that show neither host nor donor, but what their surroundings suggest.
    generated : bool array (H, W), optional
        Pixels that a diffusion model drew.
    cut_off : float
        Share of the pasted segment's outline that is the donor's border inside the host: there the
        segment ends because its photograph did.
    """

    pasted: np.ndarray | None = None
    filled: np.ndarray | None = None
    generated: np.ndarray | None = None
    cut_off: float = 0.0


def _sums_of(labels: np.ndarray, count: int) -> _Sums:
    # Runs along rows suffice for moments, and are far fewer than pixels.
    height, width = labels.shape
    flat = labels.ravel()
    starting = np.empty(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=starting[1:])
    starting[::width] = True
    starts = np.flatnonzero(starting)
    lengths = np.diff(starts, append=flat.size)
    classes = flat[starts]
    own = np.flatnonzero(classes != NO_CLASS)
    classes, n = classes[own], lengths[own]
    y, first = np.divmod(starts[own], width)
    last = first + n - 1
    sums = n, n * (first + last) / 2, n * y, _squares(last) - _squares(first - 1), n * y * y
    moments = np.column_stack([np.bincount(classes, part, count) for part in sums])
    boxes = np.zeros((count, 4), int)
    boxes[:, :2] = width, height
    np.minimum.at(boxes[:, 0], classes, first)
    np.minimum.at(boxes[:, 1], classes, y)
    np.maximum.at(boxes[:, 2], classes, last + 1)
    np.maximum.at(boxes[:, 3], classes, y + 1)
    return _Sums(moments.tolist(), boxes.tolist())


def _squares(last: np.ndarray) -> np.ndarray:
    """Sum of the squares from 0 to each number; from -1 on."""
    return last * (last + 1) * (2 * last + 1) // 6
