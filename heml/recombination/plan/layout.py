"""Where the leaves of an image are, from the segments table alone: to match hosts and donors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.dataset as ds

from heml.recombination.imaging.similarity_transform import (
    SimilarityTransform,
    fit_similarity_transform,
)
from heml.storage.run_context import RunContext
from heml.taxonomy import background_among

#: What a doubling of scale, a radian of turn and a leaf that only one of the two has count for, in
#: image heights: matching layouts is a matter of a few hundredths.
SCALE_COST, TURN_COST, ABSENCE_COST = 0.02, 0.05, 0.3
#: What a moved leaf counts for that meets none of the host's own: where the new one does not cover
#: the old one, something must be filled.
MISFIT_COST = 0.15


@dataclass(frozen=True)
class Layouts:
    """Boxes of all leaves in all images.

    Parameters
    ----------
    image_ids : list of str
    leaves : tuple of str
    boxes : float32 array (N, leaves, 4)
        Center x, center y, width, height as shares of the image; NaN where absent.
    areas : float32 array (N, leaves)
        Share of the image's pixels, 0 where absent.
    aspects : float array (N,), optional
        Width over height of each image, default 1.
    """

    image_ids: list[str]
    leaves: tuple[str, ...]
    boxes: np.ndarray
    areas: np.ndarray
    aspects: np.ndarray | None = None

    @property
    def background(self) -> str | None:
        """The leaf that lies behind all others, where there is one."""
        return background_among(self.leaves)

    def present(self, leaf: str, least_area: float = 0.0) -> np.ndarray:
        """Whether the leaf fills more than a share of each image, bool array (N,)."""
        return self.areas[:, self.leaves.index(leaf)] > least_area

    def any_present(
        self, leaves: Sequence[str], least_areas: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """Whether each image has at least one of the leaves, bool array (N,)."""
        least = least_areas or {}
        return np.logical_or.reduce([self.present(x, least.get(x, 0.0)) for x in leaves])

    def mean_area(self, leaf: str) -> float:
        """Mean share of the image that the leaf fills where it is present."""
        areas = self.areas[self.present(leaf), self.leaves.index(leaf)]
        return float(areas.mean()) if len(areas) else 0.0

    def seam(self, leaves: Sequence[str]) -> float:
        """Least length of the outlines of leaves of their mean areas, in sides of a square image.

        A circle has the shortest outline of its area, and a leaf that fills most of the image is
        bounded by what is left.
        """
        areas = [self.mean_area(leaf) for leaf in leaves]
        return float(sum(2 * np.sqrt(np.pi * min(area, 1 - area)) for area in areas))

    def mismatch(
        self, host: int, donors: np.ndarray, kept: Sequence[str], moved: Sequence[str] = ()
    ) -> np.ndarray:
        """How far donors' poses are from a host's, over leaves that stay the host's.

        Donors are first brought onto the host by the similarity transform that fits the centers of
        the leaves best, as compositing will do: place, size and turn count little,
        the arrangement of the leaves and the sizes of each count.

        Parameters
        ----------
        host : int
        donors : int array (M,)
        kept : sequence of str
            Leaves that stay the host's.
        moved : sequence of str
            Leaves that are exchanged: the more they overlap once aligned, the better they fit.

        Returns
        -------
        float array (M,)
            In image heights; 0 for a donor of the same pose, beyond 1 where no leaf is shared.
        """
        places = [self.leaves.index(leaf) for leaf in kept]
        own, own_size = self._points(np.array([host]), places)
        theirs, their_size = self._points(donors, places)
        own, own_size = own[0], own_size[0]
        shared = ~(np.isnan(own) | np.isnan(theirs))
        count = shared.sum(axis=1)
        weights = shared / np.maximum(count, 1)[:, None]
        target, source = np.where(shared, own, 0), np.where(shared, theirs, 0)
        transform = fit_similarity_transform(source, target, shared.astype(float))
        scale, turn = transform.scale, transform.turn
        residual = np.sqrt((weights * transform.residuals(source, target) ** 2).sum(axis=1))
        sizes = np.abs(their_size * scale[:, None, None] - own_size).mean(axis=2)
        size = (weights * np.where(shared, sizes, 0)).sum(axis=1)
        either = (~np.isnan(own) | ~np.isnan(theirs)).sum(axis=1)
        absent = 1 - count / np.maximum(either, 1)
        found = (
            residual
            + size
            + SCALE_COST * np.abs(np.log2(scale))
            + TURN_COST * np.abs(turn)
            + ABSENCE_COST * absent
            + MISFIT_COST * self._misfit(host, donors, moved, transform)
        )
        return np.where(count > 0, found, 1 + ABSENCE_COST)

    def _misfit(
        self, host: int, donors: np.ndarray, moved: Sequence[str], transform: SimilarityTransform
    ) -> np.ndarray:
        """How little donors' moved leaves cover the host's once aligned: 1 less the overlap of
        their boxes over the union (IoU), the mean over leaves that both have; 0 without any."""
        places = [self.leaves.index(leaf) for leaf in moved]
        own, own_size = self._points(np.array([host]), places)
        theirs, their_size = self._points(donors, places)
        moved_to = transform.apply(theirs)
        apart = moved_to - own
        sizes = their_size * transform.scale[:, None, None]
        overlap = area = np.ones(apart.shape)
        own_area = np.ones(own_size.shape[:-1])
        for axis, distance in enumerate((np.abs(apart.real), np.abs(apart.imag))):
            reach = (sizes[..., axis] + own_size[..., axis]) / 2 - distance
            least = np.minimum(sizes[..., axis], own_size[..., axis])
            overlap = overlap * np.clip(np.minimum(reach, least), 0, None)
            area, own_area = area * sizes[..., axis], own_area * own_size[..., axis]
        misfit = 1 - overlap / np.maximum(area + own_area - overlap, 1e-9)
        known = ~np.isnan(misfit)
        return np.where(known, misfit, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)

    def uncovered(self, host: int, donors: np.ndarray, behind: Sequence[str]) -> np.ndarray:
        """How much of each donor's foreground the host's would not hide in its background.

        Parameters
        ----------
        behind : sequence of str
            Leaves of the background.

        Returns
        -------
        float array (M,)
            Share of the image: area of the donor's box around all other leaves outside the host's.
        """
        front = [place for place, leaf in enumerate(self.leaves) if leaf not in behind]
        x0, y0, x1, y1 = self._around(np.array([host]), front)[:, 0]
        a0, b0, a1, b1 = self._around(donors, front)
        area = np.maximum(a1 - a0, 0) * np.maximum(b1 - b0, 0)
        width = np.maximum(np.fmin(x1, a1) - np.fmax(x0, a0), 0)
        height = np.maximum(np.fmin(y1, b1) - np.fmax(y0, b0), 0)
        return np.nan_to_num(area - width * height)

    def _points(self, rows: np.ndarray, places: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Centers as complex (M, K) and sizes (M, K, 2), in image heights."""
        boxes = self.boxes[rows][:, places].astype(float)
        wide = np.ones(len(rows)) if self.aspects is None else self.aspects[rows]
        centers = boxes[..., 0] * wide[:, None] + 1j * boxes[..., 1]
        sizes = np.stack([boxes[..., 2] * wide[:, None], boxes[..., 3]], axis=-1)
        return centers, sizes

    def _around(self, rows: np.ndarray, places: list[int]) -> np.ndarray:
        """Left, top, right and bottom of the box around leaves, (4, M); empty if all are absent."""
        boxes = self.boxes[rows][:, places].astype(float)
        low, high = boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2
        low = np.where(np.isnan(low), np.inf, low).min(axis=1, initial=np.inf)
        high = np.where(np.isnan(high), -np.inf, high).max(axis=1, initial=-np.inf)
        empty = (low > high).any(axis=1)
        low[empty], high[empty] = 0, 0
        return np.concatenate([low.T, high.T])


def read_layouts(run: RunContext, image_ids: list[str]) -> Layouts:
    """Layouts of the given images, in their order."""
    leaves = tuple(run.taxonomy.leaves)
    place = {c: i for i, leaf in enumerate(leaves) for c in run.taxonomy.leaves[leaf]}
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    corners = np.full((len(image_ids), len(leaves), 4), np.nan, np.float32)
    areas = np.zeros((len(image_ids), len(leaves)), np.float32)
    aspects = np.ones(len(image_ids))
    columns = ["image_id", "class_name", "height", "width", "area"]
    boxes = ["box_x", "box_y", "box_width", "box_height"]
    segments = ds.dataset(run.store.segments, format="parquet")
    for batch in segments.to_batches(columns=columns + boxes):
        for s in batch.to_pylist():
            row, leaf = row_of.get(s["image_id"]), place.get(s["class_name"])
            if row is None or leaf is None:
                continue
            aspects[row] = s["width"] / s["height"]
            x0, y0 = s["box_x"] / s["width"], s["box_y"] / s["height"]
            x1, y1 = x0 + s["box_width"] / s["width"], y0 + s["box_height"] / s["height"]
            old = corners[row, leaf]
            corners[row, leaf] = (
                np.fmin(old[0], x0), np.fmin(old[1], y0), np.fmax(old[2], x1), np.fmax(old[3], y1)
            )  # fmt: skip
            areas[row, leaf] += s["area"] / (s["width"] * s["height"])
    size = corners[..., 2:] - corners[..., :2]
    center = (corners[..., 2:] + corners[..., :2]) / 2
    boxes_found = np.concatenate([center, size], axis=2)
    return Layouts(image_ids, leaves, boxes_found, areas, aspects)
