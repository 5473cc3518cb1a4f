"""Recolor: the host's segments get the donor's colors; shapes and masks stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from heml.images.bounding_box import bounding_box
from heml.metrics.views import union
from heml.recombination.imaging.blend import unlike_own
from heml.recombination.imaging.gray import in_gray
from heml.recombination.imaging.lab import lab_to_rgb, rgb_to_lab
from heml.recombination.imaging.matte import Matte, segment_matte
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.imaging.tone import bounded_tone
from heml.recombination.imaging.windows import (
    Window,
    colors,
    cut,
    pasted_back,
    pixels,
    window_around,
)
from heml.taxonomy import Taxonomy

#: Pixels of a segment whose colors are measured.
SAMPLE = 2048


@dataclass(frozen=True)
class Recoloring:
    """One prepared edit.

    Parameters
    ----------
    host : SegmentedImage
    matte : Matte
        Of the segment.
    window : Window
    own, wanted : float32 array (SAMPLE, 3)
        Pixels of the segment in host and donor, RGB in [0, 1].
    """

    host: SegmentedImage
    matte: Matte
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
    matte = segment_matte(host, classes)
    inside, reference = union(host.masks, classes), union(donor.masks, classes)
    if matte is None or inside is None or reference is None:
        return None
    box = bounding_box(matte.alpha > 0)
    assert box is not None  # the matte of a segment is nowhere less than its core
    window = window_around(box, host.size)
    shown = in_gray(donor.image) if host.gray and not donor.gray else donor.image
    own, wanted = _colors(host.image, inside), _colors(shown, reference)
    return Recoloring(host, matte, window, own, wanted)


def _colors(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Evenly spread pixels of a mask, repeated if it has fewer."""
    places = np.flatnonzero(mask)
    chosen = places[np.arange(SAMPLE) * len(places) // SAMPLE]
    return image.reshape(-1, 3)[chosen].astype(np.float32) / 255


def recolor(edits: Sequence[Recoloring], device: torch.device) -> list[Recombined]:
    """Recombined images of edits with one key.

    The segment's own color changes, and shows as far as the segment does: what is behind hair keeps
    its color between the strands. Pixels that fit the segment's colors badly keep theirs.
    """
    image, front = (
        colors([cut(picture, e.window) for e, picture in zip(edits, pictures, strict=True)], device)
        for pictures in ([e.host.image for e in edits], [e.matte.color for e in edits])
    )
    alpha = torch.from_numpy(np.stack([cut(e.matte.alpha, e.window) for e in edits])).to(device)
    opacity = alpha[:, None].float() / 255
    own, wanted = (
        _statistics(np.stack([getattr(e, which) for e in edits]), device)
        for which in ("own", "wanted")
    )
    carries = torch.zeros(len(edits), dtype=torch.bool, device=device)
    contrast, shift = (t[:, :, None, None] for t in bounded_tone(own, wanted, carries))
    lab = rgb_to_lab(front)
    typical = 1 / (1 + unlike_own(lab - own[:, 0, :, None, None], own[:, 1, :, None, None]))
    toned = lab_to_rgb(lab.mul_(contrast).add_(shift)).clamp_(0, 1)
    result = pixels(toned.sub_(front).mul_(typical * opacity).add_(image).clamp_(0, 1))
    return [_recombined(edit, piece) for edit, piece in zip(edits, result, strict=True)]


def _statistics(samples: np.ndarray, device: torch.device) -> torch.Tensor:
    """Mean and standard deviation in LAB, float32 (B, 2, 3)."""
    batch = torch.from_numpy(samples).to(device).permute(0, 2, 1)[..., None].contiguous()
    lab = rgb_to_lab(batch)[..., 0]
    return torch.stack([lab.mean(dim=2), lab.std(dim=2, unbiased=False)], dim=1)


def _recombined(edit: Recoloring, image: np.ndarray) -> Recombined:
    return Recombined(pasted_back(edit.host.image, image, edit.window), edit.host.masks)
