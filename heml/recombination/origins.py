"""Where each pixel of a recombined sample comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data_contracts.recombined_samples import PIXEL_ORIGINS
from heml.recombination.imaging.segmented_image import Recombined
from heml.segmentation.masks import encode


@dataclass(frozen=True)
class Generator:
    """The model that drew pixels.

    Parameters
    ----------
    name : str
        Its checkpoint on the Hub, or the name of its folder.
    revision : str
        Commit on the Hub, or SHA-256 of a folder's files.
    licence : str or None
        As its model card states it.
    """

    name: str
    revision: str
    licence: str | None


def origin_masks(sample: Recombined) -> dict[str, np.ndarray]:
    """Masks of the origins of a sample, which cover every pixel exactly once.

    At seams, where host and donor are blended, a pixel counts for the one on whose side of the
    outline it lies.

    Parameters
    ----------
    sample : Recombined

    Returns
    -------
    dict of str to bool array (H, W)
        By `PIXEL_ORIGINS`, those that have a pixel.
    """
    nothing = np.zeros(sample.size, bool)
    # The last step decides: what was filled may be pasted too, and what was drawn replaces both.
    generated, filled, donor = (
        nothing if mask is None else mask
        for mask in (sample.generated, sample.filled, sample.pasted)
    )
    found = {
        "host": ~(donor | filled | generated),
        "donor": donor & ~filled & ~generated,
        "filled": filled & ~generated,
        "generated": generated,
    }
    return {origin: found[origin] for origin in PIXEL_ORIGINS if found[origin].any()}


def origin_columns(sample: Recombined, generator: Generator | None) -> Mapping[str, object]:
    """The columns of `recombined_samples` that say where a sample's pixels come from.

    Parameters
    ----------
    sample : Recombined
    generator : Generator, optional
        The model that drew the sample's generated pixels.

    Raises
    ------
    ValueError
        If pixels were generated and no generator is named.
    """
    masks = origin_masks(sample)
    if "generated" not in masks:
        generator = None
    elif generator is None:
        raise ValueError("a sample has generated pixels, but no generator is named")
    return {
        "origins": [{"origin": origin, "rle": encode(mask)} for origin, mask in masks.items()],
        "generator": generator and generator.name,
        "generator_revision": generator and generator.revision,
        "generator_licence": generator and generator.licence,
    }
