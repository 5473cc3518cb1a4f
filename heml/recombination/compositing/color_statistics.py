"""Color statistics of segments: mean and deviation in LAB, leaf by leaf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from heml.metrics.views import union
from heml.recombination.imaging.lab import rgb_to_lab
from heml.recombination.imaging.segmented_image import SegmentedImage
from heml.taxonomy import Taxonomy

#: Pixels of a segment whose colors are measured, and the fewest of which colors are known.
SAMPLE, LEAST = 256, 16


class ColorStatistics(NamedTuple):
    """Colors of a leaf in LAB.

    Parameters
    ----------
    pixels : int
        Size of the leaf.
    mean, deviation : float array (3,)
    """

    pixels: int
    mean: np.ndarray
    deviation: np.ndarray


def measure_colors(
    segmented_image: SegmentedImage, taxonomy: Taxonomy
) -> Mapping[str, ColorStatistics]:
    """Colors of an image's leaves; leaves of fewer than `LEAST` pixels are left out."""
    return segmented_image.once(
        ("colors", taxonomy.name), lambda: _colors(segmented_image, taxonomy)
    )


def _colors(segmented_image: SegmentedImage, taxonomy: Taxonomy) -> Mapping[str, ColorStatistics]:
    found, chosen = {}, []
    flat = segmented_image.image.reshape(-1, 3)
    for leaf in taxonomy.leaves:
        inside = union(segmented_image.masks, taxonomy.classes_of(leaf))
        places = np.flatnonzero(inside) if inside is not None else np.zeros(0, int)
        if len(places) >= LEAST:
            found[leaf] = len(places)
            count = min(SAMPLE, len(places))
            chosen.append(flat[places[np.arange(count) * len(places) // count]])
    if not found:
        return {}
    samples = torch.from_numpy(np.concatenate(chosen).T.astype(np.float32) / 255)
    lab = rgb_to_lab(samples[None, :, :, None])[0, :, :, 0].numpy()
    ends = np.cumsum([len(part) for part in chosen])[:-1]
    return {
        leaf: ColorStatistics(count, part.mean(axis=1), part.std(axis=1))
        for (leaf, count), part in zip(found.items(), np.split(lab, ends, axis=1), strict=True)
    }


def sibling_colors(
    leaf: str, colors: Mapping[str, ColorStatistics], taxonomy: Taxonomy
) -> ColorStatistics | None:
    """Colors of a leaf's siblings taken together; None if there are none, or they have children."""
    for children in taxonomy.tree.values():
        if leaf in children and all(child in taxonomy.leaves for child in children):
            known = [colors[child] for child in children if child in colors]
            if known:
                counts = np.array([own.pixels for own in known], float)
                means, deviations = (np.stack([own[i] for own in known]) for i in (1, 2))
                share = (counts / counts.sum())[:, None]
                mean = (share * means).sum(axis=0)
                variance = (share * (deviations**2 + (means - mean) ** 2)).sum(axis=0)
                return ColorStatistics(int(counts.sum()), mean, np.sqrt(variance))
    return None
