"""Recolor: the host's segments get the donor's colors; shapes and masks stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from heml.metrics.views import union
from heml.recombination.imaging.blend import match_tone
from heml.recombination.imaging.lab import rgb_to_lab
from heml.recombination.imaging.masked import weights
from heml.recombination.imaging.pyramid import blur
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.imaging.windows import (
    Window,
    colors,
    cut,
    pasted_back,
    pixels,
    window_around,
)
from heml.taxonomy import Taxonomy

#: Softness of the outline, as standard deviation in pixels.
EDGE = 1.0
#: Pixels of a segment whose colors are measured.
SAMPLE = 2048


@dataclass(frozen=True)
class Recoloring:
    """One prepared edit.

    Parameters
    ----------
    host : SegmentedImage
    inside : bool array (H, W)
    window : Window
    own, wanted : float32 array (SAMPLE, 3)
        Pixels of the segment in host and donor, RGB in [0, 1].
    """

    host: SegmentedImage
    inside: np.ndarray
    window: Window
    own: np.ndarray
    wanted: np.ndarray

    @property
    def key(self) -> tuple[int, ...]:
        return tuple(self.window[2:])


def prepare(
    host: SegmentedImage, donor: SegmentedImage, nodes: Sequence[str], taxonomy: Taxonomy
) -> Recoloring | None:
    """What is to be recolored; None if one of the two lacks it."""
    classes = [c for node in nodes for c in taxonomy.classes_of(node)]
    place = host.place(classes)
    inside, reference = union(host.masks, classes), union(donor.masks, classes)
    if place is None or inside is None or reference is None:
        return None
    left, top, right, bottom = place.box
    window = window_around((left - 4, top - 4, right + 4, bottom + 4), host.size)
    return Recoloring(
        host, inside, window, _colors(host.image, inside), _colors(donor.image, reference)
    )


def _colors(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Evenly spread pixels of a mask, repeated if it has fewer."""
    places = np.flatnonzero(mask)
    chosen = places[np.arange(SAMPLE) * len(places) // SAMPLE]
    return image.reshape(-1, 3)[chosen].astype(np.float32) / 255


def recolor(edits: Sequence[Recoloring], device: torch.device) -> list[Recombined]:
    """Recombined images of edits with one key."""
    image = colors([cut(e.host.image, e.window) for e in edits], device)
    inside = torch.from_numpy(np.stack([cut(e.inside, e.window) for e in edits])).to(device)
    own, wanted = (
        _statistics(np.stack([getattr(e, which) for e in edits]), device)
        for which in ("own", "wanted")
    )
    result = pixels(match_tone(image, blur(weights(inside[:, None]), EDGE), own, wanted))
    return [_recombined(edit, piece) for edit, piece in zip(edits, result, strict=True)]


def _statistics(samples: np.ndarray, device: torch.device) -> torch.Tensor:
    """Mean and standard deviation in LAB, float32 (B, 2, 3)."""
    batch = torch.from_numpy(samples).to(device).permute(0, 2, 1)[..., None].contiguous()
    lab = rgb_to_lab(batch)[..., 0]
    return torch.stack([lab.mean(dim=2), lab.std(dim=2, unbiased=False)], dim=1)


def _recombined(edit: Recoloring, image: np.ndarray) -> Recombined:
    return Recombined(pasted_back(edit.host.image, image, edit.window), edit.host.masks)
