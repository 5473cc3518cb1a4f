"""How badly a moved segment sits in its place, or a foreground in new scenery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from heml.metrics.views import union
from heml.recombination.imaging.segmented_image import Place, Recombined, SegmentedImage
from heml.recombination.operator import OPERATORS
from heml.taxonomy import Taxonomy

#: What a segment of another size counts for, by the logarithm of the ratio, and a host and a donor
#: in another light, by the distance of their mean colors, RGB from 0 to 1.
SIZE_WEIGHT, LIGHT_WEIGHT = 0.5, 1.5
#: Extent of an even distribution, in standard deviations.
_EXTENT = 12**0.5


def measure_misfit(
    sample: Recombined,
    host: SegmentedImage,
    donor: SegmentedImage,
    edit: Mapping[str, Any],
    taxonomy: Taxonomy,
) -> float | None:
    """How far a moved segment is from where, and from how large, the host's own was.

    A mouth that sits beside its place, or that is half as wide, comes from a face of another pose.
    A foreground fits scenery before which one of its size stood on the same ground, and of which
    little had to be filled. Where the label's segments are moved, or one is removed and the donor
    shows what was behind it, host and donor keep their light, and its difference counts as well;
    colors of other segments go along with an attribute.

    Parameters
    ----------
    sample : Recombined
    host, donor : SegmentedImage
    edit : mapping
        Columns operator, direction and nodes of the plan.
    taxonomy : Taxonomy

    Returns
    -------
    float or None
        In extents of the host's segment, 0 for a perfect fit; None where no segment is moved onto
        one of its kind. Of exchanged scenery: the filled share of the image, the difference of the
        foregrounds' sizes, and that of their lowest points in image heights.
    """
    if not OPERATORS[edit["operator"]].moves_pixels:
        return None
    if edit["nodes"] == [taxonomy.background]:
        return _misplaced(sample, host, donor, taxonomy)
    found, removed = [], False
    for node in edit["nodes"]:
        old, new = (image.place(taxonomy.classes_of(node)) for image in (host, sample))
        if old is not None and new is not None:
            found.append(_apart(old, new))
        removed |= old is not None and new is None
    if not found and not removed:
        return None
    misfit = float(np.mean(found)) if found else 0.0
    if removed or edit["direction"] == "swap_label":
        kept = [
            leaf for leaf in taxonomy.leaves if leaf not in {*edit["nodes"], taxonomy.background}
        ]
        misfit += LIGHT_WEIGHT * _light_apart(host, donor, kept, taxonomy)
    return misfit


def _misplaced(
    sample: Recombined, host: SegmentedImage, donor: SegmentedImage, taxonomy: Taxonomy
) -> float:
    """What `measure_misfit` says of exchanged scenery."""
    front = [
        c
        for leaf in taxonomy.leaves
        if leaf != taxonomy.background
        for c in taxonomy.classes_of(leaf)
    ]
    misfit = 0.0 if sample.filled is None else float(sample.filled.mean())
    places = [image.place(front) for image in (host, donor)]
    if all(places):
        bottoms, extents = [], []
        for image, place in zip((host, donor), places, strict=True):
            assert place is not None
            bottoms.append(place.box[3] / image.size[0])
            extents.append(max(float(place.spread.mean()), 0.5) / image.size[0])
        misfit += abs(bottoms[0] - bottoms[1])
        misfit += SIZE_WEIGHT * abs(float(np.log(extents[0] / extents[1])))
    return misfit


def _apart(old: Place, new: Place) -> float:
    """Distance of the centers, and difference of the sizes, of two segments."""
    extent = _EXTENT * max(float(old.spread.mean()), 1.0)
    shift = float(np.linalg.norm(new.center - old.center)) / extent
    sizes = [max(float(place.spread.mean()), 0.5) for place in (new, old)]
    return shift + SIZE_WEIGHT * abs(float(np.log(sizes[0] / sizes[1])))


def _light_apart(
    host: SegmentedImage, donor: SegmentedImage, leaves: Sequence[str], taxonomy: Taxonomy
) -> float:
    """Distance of the mean colors of leaves that both have, 0 to 1; 0 without any."""
    shared = [
        name
        for leaf in leaves
        if all(image.place(taxonomy.classes_of(leaf)) for image in (host, donor))
        for name in taxonomy.classes_of(leaf)
    ]
    levels = [
        image.once(("light", tuple(shared)), partial(_light, image, shared))
        for image in (host, donor)
    ]
    return float(np.sqrt(np.mean((levels[0] - levels[1]) ** 2)))


def _light(image: SegmentedImage, classes: Sequence[str]) -> np.ndarray:
    """Mean RGB of some classes, float (3,) from 0 to 1; 0 without a pixel."""
    inside = union(image.masks, classes)
    if inside is None or not inside.any():
        return np.zeros(3)
    mean: np.ndarray = image.image[inside].mean(axis=0) / 255
    return mean
