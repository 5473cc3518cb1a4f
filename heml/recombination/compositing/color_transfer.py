"""Color transfer: segments that stay the host's take on the donor's colors.

An attribute correlates with more than the one segment that encodes it: clothes are lighter before
dark scenery, brows darker below dark hair. With the donor's colors in its other segments, a sample
shows the correlates of the donor's attribute value, whatever its label is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from torch import Tensor

from heml.images.bounding_box import bounding_box
from heml.metrics.views import union
from heml.recombination.compositing.color_statistics import (
    ColorStatistics,
    measure_colors,
    sibling_colors,
)
from heml.recombination.imaging.blend import unlike_own
from heml.recombination.imaging.lab import lab_to_rgb, rgb_to_lab
from heml.recombination.imaging.masked import weights
from heml.recombination.imaging.pyramid import binomial_blur
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

#: How far around a segment that keeps its colors others are looked for, in pixels, and the share
#: of it that one must fill to light it.
AROUND, SURROUNDS = 3, 0.5
#: Segments whose mean colors are at most this far apart in LAB look like one: a face and its nose.
SIMILAR = 12.0


@dataclass(frozen=True)
class Transfer:
    """One prepared edit.

    Parameters
    ----------
    sample : Recombined
    window : Window
        Where pixels change.
    parts : int16 array (H, W)
        Number of each pixel's segment, from 1 on; 0 keeps its color.
    own, wanted : float32 array (parts, 2, 3)
        Mean and standard deviation in LAB, as they are and as they should be.
    tinted : bool array (parts,)
        Segments that change by what an attribute was found to change: within no further bounds.
    """

    sample: Recombined
    window: Window
    parts: np.ndarray
    own: np.ndarray
    wanted: np.ndarray
    tinted: np.ndarray

    @property
    def key(self) -> tuple[int, ...]:
        """Edits of one key can share a batch."""
        return tuple(self.window[2:])


def prepare(
    sample: Recombined,
    donor: SegmentedImage,
    leaves: Sequence[str],
    lit: Sequence[str],
    taxonomy: Taxonomy,
    tints: Mapping[str, np.ndarray] | None = None,
) -> Transfer | None:
    """Which pixels get which colors; None if sample and donor share no segment.

    Parameters
    ----------
    sample : Recombined
    donor : SegmentedImage
    leaves : sequence of str
        Leaves of the sample to be recolored. A leaf that the donor lacks gets the colors of its
        siblings there, if the branch above it joins leaves alone.
    lit : sequence of str
        Leaves that keep their colors. One that lies in a larger leaf takes part in the change of
        light there; smaller ones beside it that look like it stay too.
    taxonomy : Taxonomy
    tints : mapping of str to float array (3,), optional
        Leaves of `leaves` whose mean changes by this much in LAB, whatever the donor shows.
    """
    tints = tints or {}
    here, there = measure_colors(sample, taxonomy), measure_colors(donor, taxonomy)
    parts = np.zeros(sample.size, np.int16)
    own, wanted, tinted = [], [], []
    masks = {leaf: union(sample.masks, taxonomy.classes_of(leaf)) for leaf in (*leaves, *lit)}
    around, staying = _around(masks, leaves, lit, here)
    for leaf in leaves:
        reference = there.get(leaf) or sibling_colors(leaf, there, taxonomy)
        if leaf in tints and leaf in here:
            reference = here[leaf]._replace(mean=here[leaf].mean + tints[leaf])
        inside = masks[leaf]
        if leaf in staying or leaf not in here or reference is None or inside is None:
            continue
        own.append(here[leaf][1:])
        wanted.append(reference[1:])
        tinted.append(leaf in tints)
        parts[inside] = len(own)
        for kept in around.get(leaf, ()):
            parts[kept] = len(own)
    if not own:
        return None
    have, get = np.array(own, np.float32), np.array(wanted, np.float32)
    if sample.gray and not donor.gray:
        get[..., 1:] = have[..., 1:]
    box = bounding_box(parts)
    assert box is not None  # no mask of a measured leaf is empty
    window = window_around(box, sample.size)
    return Transfer(sample, window, parts, have, get, np.array(tinted))


def _around(
    masks: Mapping[str, np.ndarray | None],
    leaves: Sequence[str],
    kept: Sequence[str],
    here: Mapping[str, ColorStatistics],
) -> tuple[dict[str, list[np.ndarray]], set[str]]:
    """Masks of kept leaves by the larger leaf that each lies in, and leaves that must stay."""
    lying: dict[str, list[np.ndarray]] = {}
    staying: set[str] = set()
    for leaf in kept:
        inside = masks[leaf]
        if inside is None or leaf not in here:
            continue
        size, color = here[leaf].pixels, here[leaf].mean
        ring = binary_dilation(inside, iterations=AROUND) & ~inside
        beside = {
            name: int((mask & ring).sum())
            for name in leaves
            if (mask := masks[name]) is not None and name in here
        }
        best = max(beside, key=beside.__getitem__, default=None)
        if best and beside[best] >= SURROUNDS * ring.sum() and here[best].pixels > size:
            lying.setdefault(best, []).append(inside)
            continue
        staying |= {
            name
            for name, touching in beside.items()
            if touching
            and here[name].pixels < size
            and np.linalg.norm(here[name].mean - color) <= SIMILAR
        }
    return lying, staying


def transfer_colors(edits: Sequence[Transfer], device: torch.device) -> list[Recombined]:
    """Recolored samples of edits with one key (Reinhard et al., IEEE CG&A 2001, in LAB).

    Shapes and masks stay. Pixels unlike their segment's own colors keep theirs, as
    `recolor` does.
    """
    image = colors([cut(e.sample.image, e.window) for e in edits], device)
    parts = torch.from_numpy(np.stack([cut(e.parts, e.window) for e in edits])).to(device)
    rows = 1 + max(len(e.own) for e in edits)
    own, wanted = (torch.zeros(len(edits), rows, 2, 3) for _ in range(2))
    accompanies = torch.ones(len(edits), rows, dtype=torch.bool)
    for place, edit in enumerate(edits):
        own[place, 1 : 1 + len(edit.own)] = torch.from_numpy(edit.own)
        wanted[place, 1 : 1 + len(edit.own)] = torch.from_numpy(edit.wanted)
        accompanies[place, 1 : 1 + len(edit.own)] = torch.from_numpy(~edit.tinted)
    contrast, shift = bounded_tone(own, wanted, accompanies)
    # Rows of part 0 leave what they meet as it is.
    contrast[:, 0], shift[:, 0] = 1, 0
    first = torch.arange(len(edits), device=device)[:, None, None] * rows
    places = (parts.int() + first.int()).flatten()

    def spread(values: Tensor) -> Tensor:
        """A value of each part (B, parts, 3) at its pixels (B, 3, H, W)."""
        table = values.flatten(0, 1).to(device)
        channels = [table[:, c].contiguous().index_select(0, places) for c in range(3)]
        return torch.stack([c.view(parts.shape) for c in channels], dim=1)

    lab = rgb_to_lab(image)
    unlike = unlike_own(lab - spread(own[:, :, 0]), spread(own[:, :, 1]))
    if not bool(accompanies.all()):
        # A tint lies on every pixel of its segment.
        unlike = unlike * spread(weights(accompanies)[..., None].expand(-1, -1, 3))[:, :1]
    # Neighboring segments blend over a few pixels.
    toned = lab.mul_(binomial_blur(spread(contrast))).add_(binomial_blur(spread(shift)))
    amount = weights((parts > 0)[:, None]) / (1 + unlike)
    result = pixels(lab_to_rgb(toned).clamp_(0, 1).sub_(image).mul_(amount).add_(image))
    return [_recolored(edit, piece) for edit, piece in zip(edits, result, strict=True)]


def _recolored(edit: Transfer, piece: np.ndarray) -> Recombined:
    sample = edit.sample
    return Recombined(
        pasted_back(sample.image, piece, edit.window),
        sample.masks,
        pasted=sample.pasted,
        filled=sample.filled,
        cut_off=sample.cut_off,
    )
