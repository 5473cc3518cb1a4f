"""Where the leaves of an image are, from the segments table alone: to match hosts and donors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.dataset as ds

from heml.store import Store
from heml.taxonomy import Taxonomy


@dataclass(frozen=True)
class Layouts:
    """Boxes of all leaves in all images.

    Parameters
    ----------
    image_ids : list of str
    leaves : tuple of str
    boxes : float32 array (N, leaves, 4)
        Centre x, centre y, width, height as shares of the image; NaN where absent.
    areas : float32 array (N, leaves)
        Share of the image's pixels, 0 where absent.
    """

    image_ids: list[str]
    leaves: tuple[str, ...]
    boxes: np.ndarray
    areas: np.ndarray

    def present(self, leaf: str) -> np.ndarray:
        """bool array (N,)"""
        return self.areas[:, self.leaves.index(leaf)] > 0

    def mean_area(self, leaf: str) -> float:
        """Mean share of the image that the leaf fills where it is present."""
        areas = self.areas[self.present(leaf), self.leaves.index(leaf)]
        return float(areas.mean()) if len(areas) else 0.0

    def mismatch(self, host: int, donors: np.ndarray, kept: list[str]) -> np.ndarray:
        """How far donors' layouts are from a host's, over leaves that both have.

        Parameters
        ----------
        host : int
        donors : int array (M,)
        kept : list of str
            Leaves that stay the host's.

        Returns
        -------
        float array (M,)
            Mean absolute box difference; 1 where no kept leaf is shared.
        """
        places = [self.leaves.index(leaf) for leaf in kept]
        difference = np.abs(self.boxes[donors][:, places] - self.boxes[host, places])
        known = ~np.isnan(difference)
        counts = known.sum(axis=(1, 2))
        total = np.where(known, difference, 0).sum(axis=(1, 2))
        return np.where(counts > 0, total / np.maximum(counts, 1), 1.0)


def read_layouts(store: Store, taxonomy: Taxonomy, image_ids: list[str]) -> Layouts:
    """Layouts of the given images, in their order."""
    leaves = tuple(taxonomy.leaves)
    place = {c: i for i, leaf in enumerate(leaves) for c in taxonomy.leaves[leaf]}
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    corners = np.full((len(image_ids), len(leaves), 4), np.nan, np.float32)
    areas = np.zeros((len(image_ids), len(leaves)), np.float32)
    columns = ["image_id", "class_name", "height", "width", "area"]
    boxes = ["box_x", "box_y", "box_width", "box_height"]
    for batch in ds.dataset(store.segments, format="parquet").to_batches(columns=columns + boxes):
        for s in batch.to_pylist():
            row, leaf = row_of.get(s["image_id"]), place.get(s["class_name"])
            if row is None or leaf is None:
                continue
            x0, y0 = s["box_x"] / s["width"], s["box_y"] / s["height"]
            x1, y1 = x0 + s["box_width"] / s["width"], y0 + s["box_height"] / s["height"]
            old = corners[row, leaf]
            corners[row, leaf] = (
                np.fmin(old[0], x0), np.fmin(old[1], y0), np.fmax(old[2], x1), np.fmax(old[3], y1)
            )  # fmt: skip
            areas[row, leaf] += s["area"] / (s["width"] * s["height"])
    size = corners[..., 2:] - corners[..., :2]
    centre = (corners[..., 2:] + corners[..., :2]) / 2
    return Layouts(image_ids, leaves, np.concatenate([centre, size], axis=2), areas)
