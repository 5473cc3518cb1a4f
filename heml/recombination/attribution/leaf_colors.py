"""Colors of leaves in train images, read once for all that is asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from heml.recombination.compositing.color_statistics import measure_colors
from heml.recombination.imaging.image_reader import SegmentedImageReader
from heml.taxonomy import Taxonomy

#: Train images that are read.
IMAGES = 1000


class LeafColors(NamedTuple):
    """Colors of one leaf where it is present.

    Parameters
    ----------
    rows : int array (n,)
        Of the train split.
    mean, deviation : float array (n, 3)
        LAB.
    """

    rows: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def measure_leaf_colors(
    reader: SegmentedImageReader,
    image_ids: Sequence[str],
    groups: Sequence[object],
    leaves: Iterable[str],
    taxonomy: Taxonomy,
) -> dict[str, LeafColors]:
    """Colors of leaves, those that no image shows left out.

    Parameters
    ----------
    reader : SegmentedImageReader
    image_ids : sequence of str
        Of the train split.
    groups : sequence of hashable
        Of each image. Of a large split as many are read of each group, so that small ones count.
    leaves : iterable of str
    taxonomy : Taxonomy
    """
    leaves = list(leaves)
    found: dict[str, list[tuple[int, np.ndarray, np.ndarray]]] = {leaf: [] for leaf in leaves}
    for row in _chosen(groups) if leaves else ():
        measured = measure_colors(reader.read([image_ids[row]])[0], taxonomy)
        for leaf in leaves:
            if leaf in measured:
                found[leaf].append((int(row), measured[leaf].mean, measured[leaf].deviation))
    return {
        leaf: LeafColors(*map(np.array, zip(*own, strict=True)))
        for leaf, own in found.items()
        if own
    }


def _chosen(groups: Sequence[object]) -> np.ndarray:
    """Rows to be read: all, or an even share of each group, evenly spread: the same every time."""
    if len(groups) <= IMAGES:
        return np.arange(len(groups))
    by_group: dict[object, list[int]] = {}
    for row, group in enumerate(groups):
        by_group.setdefault(group, []).append(row)
    rows: list[int] = []
    left = IMAGES
    smallest_first = sorted(by_group.values(), key=lambda own: (len(own), own[0]))
    for number, own in enumerate(smallest_first):
        count = min(len(own), left // (len(smallest_first) - number))
        places = np.linspace(0, len(own) - 1, count).round().astype(int)
        rows += [own[place] for place in places]
        left -= count
    return np.array(sorted(rows), int)
