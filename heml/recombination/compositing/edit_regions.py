"""What becomes of each pixel where a segment is moved: pasted, filled, relit or kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from heml.recombination.compositing.place_segments import Transplant
from heml.recombination.imaging.masked import weights, where
from heml.recombination.imaging.pyramid import (
    binomial_blur_mask,
    blur,
    dilate,
    downsample2x,
    downsample2x_mask,
    erode,
)
from heml.taxonomy import Taxonomy

#: A kept class may come along from the donor behind a moved segment if it makes up this share of
#: what surrounds the host's own, or the donor's.
NEIGHBOR_SHARE = 0.1
#: Labels are shifted by this in tables and planes: outside the image, no class, classes.
SHIFT = 2
#: What a class is to an edit, as bits.
_MOVED, _PROTECTED, _SCENERY, _CLASS, _INSIDE = 1, 2, 4, 8, 16


def label_kinds(edit: Transplant, names: Sequence[str], taxonomy: Taxonomy) -> np.ndarray:
    """Bits of each shifted label, uint8 (classes + 2,)."""
    kinds = np.full(len(names) + SHIFT, _CLASS | _INSIDE, np.uint8)
    kinds[:SHIFT] = 0, _INSIDE
    scenery = [names.index(c) for c in taxonomy.leaves.get(taxonomy.background or "", ())]
    for classes, bit in ((edit.moved, _MOVED), (edit.protected, _PROTECTED), (scenery, _SCENERY)):
        kinds[[c + SHIFT for c in classes]] |= bit
    return kinds


@dataclass(frozen=True)
class Regions:
    """Masks (B, 1, H, W) of a batch of windows.

    Parameters
    ----------
    old : bool
        The host's segment with its soft outline: nothing of it may stay.
    foreign : bool
        Where the donor shows what the host does not have there: its segment, and what that brings.
    narrow : float
        Weight of the donor's details.
    wide : float, half the size
        Weight of its shading.
    alike : float
        1 where both pictures show the same class, or the donor alone: shading may pass over.
    alone : bool
        Where the donor's segment shows in its own color, without what it stood before.
    lit : bool
        Where both show the same kept class of the foreground.
    labels : int16
        Classes afterwards, shifted.
    unlabeled : bool
        Holes whose class is still to be found.
    behind : bool
        Holes are filled from these pixels.
    open_air : bool (B, 1, 1, 1)
        Whether that is scenery.
    pasted, filled : bool
        As in `Recombined`.
    cut_off : float (B,)
        As in `Recombined`.
    """

    old: Tensor
    foreign: Tensor
    narrow: Tensor
    wide: Tensor
    alike: Tensor
    alone: Tensor
    lit: Tensor
    labels: Tensor
    unlabeled: Tensor
    behind: Tensor
    open_air: Tensor
    pasted: Tensor
    filled: Tensor
    cut_off: Tensor


#: Opacity from which a pixel is the segment's, and above which an old segment must go.
SOLID, TRACE = 0.5, 0.03
#: Width of a matte's soft edge within which a segment meets what comes along from its own picture.
SOFT = 3


def find_regions(
    here: Tensor,
    there: Tensor,
    new_alpha: Tensor,
    old_alpha: Tensor,
    kinds: Tensor,
    removes: Tensor,
) -> Regions:
    """What becomes of each pixel.

    Parameters
    ----------
    here, there : int16 (B, 1, H, W)
        Shifted labels of host and donor.
    new_alpha, old_alpha : float (B, 1, H, W), in [0, 1]
        Opacity of the donor's segment, and of the host's.
    kinds : uint8 (B, classes + 2)
    removes : bool (B,)
    """
    # As places in tables, once.
    here_places, there_places = here.long(), there.long()
    host, donor = _lookup(kinds, here_places), _lookup(kinds, there_places)
    radius = _radius(here)
    free = _has(host, _INSIDE) & ~_has(host, _PROTECTED)
    segment = _has(host, _MOVED)
    scenery = _has(host, _SCENERY)
    moved = _has(donor, _MOVED) & ~removes[:, None, None, None]
    # Beyond the donor's border there is nothing to show.
    opacity = new_alpha * weights(free & (there > 0))
    new = opacity >= SOLID
    old = (dilate(segment, 1) | (old_alpha > TRACE)) & free
    near = dilate(old | new, radius)
    hole = old & ~new

    # Classes that surround the host's own segment, and what the donor has of them. What surrounds
    # the donor's alone was hidden by the host's: legs below a skirt, and eyes behind glasses.
    counts = _counts(here_places, near & ~old & ~segment & _has(host, _CLASS), kinds)
    beside = dilate(moved, radius) & ~moved & _has(donor, _CLASS)
    kept = ~_has(kinds, _MOVED)
    own = _frequent(counts) & kept
    hidden = _frequent(_counts(there_places, beside, kinds)) | removes[:, None]
    usual = own | (hidden & kept & _has(kinds, _CLASS))
    # The donor's scenery is another one: a hole in the host's is filled from the host's own.
    open_air = (own & _has(kinds, _SCENERY)).any(dim=1)[:, None, None, None]
    borrowed = hole & _lookup(usual & ~_has(kinds, _SCENERY), there_places)
    # Two sceneries are never the same.
    same = (here == there) & _has(host, _CLASS) & ~segment & ~scenery
    core = new | borrowed
    # Where a segment meets what comes along from behind it, both are one picture.
    joined = dilate(borrowed, SOFT) & core
    body = dilate(borrowed, 1) & (borrowed | (same & free))
    hard = erode(core, 1) & (borrowed | joined | (opacity > 0.98))
    narrow = torch.maximum(opacity, binomial_blur_mask(body).mul_(weights(body)))
    narrow = torch.maximum(narrow, weights(hard))
    spread = dilate(core, radius // 2 + 1) & (core | (same & free))
    wide = blur(downsample2x_mask(spread), radius / 6).mul_(downsample2x_mask(dilate(spread, 1)))
    wide = torch.maximum(wide, downsample2x(narrow))

    labels = where(new, _moved_labels(there, moved, kinds), here)
    labels = where(segment & borrowed, there, labels)
    air = (counts * _has(kinds, _SCENERY)).argmax(dim=1)[:, None, None, None]
    usual_scenery = air.to(labels.dtype)
    edge = new & ~erode(new | ~_has(host, _INSIDE), 1)
    beyond = edge & dilate(there == 0, 1)
    return Regions(
        old=old,
        foreign=new | (borrowed & ~_lookup(own, there_places)),
        narrow=narrow,
        wide=wide,
        alike=weights((same & free) | (core & erode(core | same, 2))),
        alone=~(borrowed | joined),
        lit=same & ~near,
        labels=where(segment & ~core & open_air, usual_scenery, labels),
        unlabeled=segment & ~core & ~open_air,
        behind=_has(host, _INSIDE) & ~old & (scenery | ~open_air),
        open_air=open_air,
        pasted=core,
        filled=hole & ~core,
        cut_off=_count(beyond) / _count(edge).clamp_min(1),
    )


def _moved_labels(there: Tensor, moved: Tensor, kinds: Tensor) -> Tensor:
    """Labels of the donor's segment, also where its matte goes beyond its mask: there the class
    that most of it has."""
    most = _counts(there.long(), moved, kinds).argmax(dim=1)[:, None, None, None].to(there.dtype)
    return where(moved, there, most.expand_as(there))


def _has(bits: Tensor, bit: int) -> Tensor:
    return (bits & bit).clamp_max_(1).view(torch.bool)


def _lookup(table: Tensor, labels: Tensor) -> Tensor:
    """Each sample's entry (B, classes + 2) for each pixel's label, int64."""
    return table.gather(1, labels.flatten(1)).view_as(labels)


def _counts(labels: Tensor, where: Tensor, kinds: Tensor) -> Tensor:
    """Pixels of each class, int64, among some; float (B, classes + 2)."""
    counts = torch.zeros(kinds.shape, dtype=torch.float32, device=kinds.device)
    return counts.scatter_add_(1, labels.flatten(1), weights(where).flatten(1))


def _frequent(counts: Tensor) -> Tensor:
    """Classes that make up a fair share of some pixels, bool (B, classes + 2)."""
    return counts > NEIGHBOR_SHARE * counts.sum(dim=1, keepdim=True)


def _radius(window: Tensor) -> int:
    """Width of the band in which shading changes over; follows the window's size alone."""
    return int(min(max(round(0.05 * (window.shape[-1] * window.shape[-2]) ** 0.5), 2), 8))


def _count(mask: Tensor) -> Tensor:
    return mask.view(torch.uint8).flatten(1).sum(dim=1, dtype=torch.int32)
