"""Transplant, insert and remove: segments of a donor take the place of the host's, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from heml.images.bounding_box import bounding_box
from heml.recombination.compositing.align import align_donor
from heml.recombination.edit import Edit
from heml.recombination.imaging.blend import (
    laplacian_blend,
    lighting_field,
    limited,
    match_contrast,
)
from heml.recombination.imaging.fill import fill_scenery
from heml.recombination.imaging.lab import lab_to_rgb, rgb_to_lab
from heml.recombination.imaging.masked import weights, where
from heml.recombination.imaging.pyramid import (
    binomial_blur_mask,
    blur,
    dilate,
    downsample2x,
    downsample2x_mask,
    erode,
    quarter_mask,
    upsample2x,
)
from heml.recombination.imaging.segmented_image import NO_CLASS, Box, Recombined, SegmentedImage
from heml.recombination.imaging.windows import (
    PIECE_SIDES,
    Window,
    colors,
    cut,
    cut_labels,
    pasted_back,
    pixels,
    planes,
    warp,
    window_around,
)
from heml.taxonomy import BACKGROUND, Taxonomy

#: Room around the touched region, in pixels and as a share of its longer side: the light is
#: compared there.
MARGIN, MARGIN_SHARE = 12, 0.12
#: A kept class may come along from the donor behind a moved segment if it makes up this share of
#: what surrounds the host's own, or the donor's.
NEIGHBOR_SHARE = 0.1
#: Labels are shifted by this in tables and planes: outside the image, no class, classes.
_SHIFT = 2


@dataclass(frozen=True)
class Transplant:
    """One prepared edit: its window in the host, the donor's piece and the way between them.

    Parameters
    ----------
    host, donor : SegmentedImage
    moved, protected : sequence of int
        Indices of classes.
    window, piece : Window
        Of the host and of the donor.
    matrix : float array (2, 3)
        From pixels of the piece to pixels of the window.
    removes : bool
        Nothing of the moved classes is taken from the donor, but what its image shows in their
        place.
    """

    host: SegmentedImage
    donor: SegmentedImage
    moved: Sequence[int]
    protected: Sequence[int]
    window: Window
    piece: Window
    matrix: np.ndarray
    removes: bool = False

    @property
    def key(self) -> tuple[int, ...]:
        """Edits of one key can share a batch."""
        return (*self.window[2:], *self.piece[2:])


def prepare_edit(edit: Edit, taxonomy: Taxonomy, removes: bool = False) -> Transplant | None:
    """As `prepare`, of an edit."""
    return prepare(edit.host, edit.donor, edit.nodes, taxonomy, edit.protected, removes)


def prepare(
    host: SegmentedImage,
    donor: SegmentedImage,
    nodes: Sequence[str],
    taxonomy: Taxonomy,
    protected: Sequence[str],
    removes: bool = False,
) -> Transplant | None:
    """Plans where the donor's segments come to lie; None if there is nothing to move."""
    names = taxonomy.class_names
    moved = [names.index(c) for node in nodes for c in taxonomy.classes_of(node)]
    kept = [names.index(c) for node in protected for c in taxonomy.classes_of(node)]
    old = host.place([names[m] for m in moved])
    new = None if removes else donor.place([names[m] for m in moved])
    matrix = align_donor(taxonomy, nodes, host, donor)
    boxes: list[tuple[float, ...]] = [old.box] if old else []
    if new:
        height, width = host.size
        left, top, right, bottom = _mapped(new.box, matrix)
        box = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
        if box[0] < box[2] and box[1] < box[3]:
            boxes.append(box)
    if not boxes:
        return None
    low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    room = MARGIN + MARGIN_SHARE * float((high - low).max())
    height, width = host.size
    left, top = np.maximum(low - room, 0)
    right, bottom = np.minimum(high + room, [width, height])
    window = window_around((left, top, right, bottom), host.size)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    corners = (window.x, window.y, window.x + window.width, window.y + window.height)
    needed = _mapped(corners, inverse)
    height, width = donor.size
    clipped = (
        min(max(needed[0] - 2, 0), width - 1),
        min(max(needed[1] - 2, 0), height - 1),
        max(min(needed[2] + 2, width), 1),
        max(min(needed[3] + 2, height), 1),
    )
    piece = window_around(clipped, donor.size, PIECE_SIDES)
    local = matrix.copy()
    local[:, 2] += matrix[:, :2] @ [piece.x, piece.y] - [window.x, window.y]
    return Transplant(host, donor, moved, kept, window, piece, local, removes)


def _mapped(box: Sequence[float] | Box, matrix: np.ndarray) -> tuple[float, float, float, float]:
    """Box around a transformed box."""
    left, top, right, bottom = box
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]])
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    (x0, y0), (x1, y1) = moved.min(axis=0), moved.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def transplant(
    edits: Sequence[Transplant], taxonomy: Taxonomy, device: torch.device
) -> list[Recombined]:
    """Recombined images of edits with one key.

    What was behind the host's segment comes from the donor too where it shows the same class
    there (the skin around a mouth), from the surroundings elsewhere.
    """
    names = taxonomy.class_names
    host = colors([cut(e.host.image, e.window) for e in edits], device)
    own = [cut_labels(e.host.labels(names), e.window) for e in edits]
    kinds = np.stack([_kinds(e, names, taxonomy) for e in edits])
    here = planes(own, device) + _SHIFT
    donor = colors([_shown(e) for e in edits], device)
    there = planes([cut_labels(e.donor.labels(names), e.piece) for e in edits], device) + _SHIFT
    size = (host.shape[-2], host.shape[-1])
    warped, there = warp(donor, there.float(), np.stack([e.matrix for e in edits]), size)

    removes = torch.tensor([e.removes for e in edits], device=device)
    regions = _regions(here, there.to(here.dtype), torch.from_numpy(kinds).to(device), removes)
    top = _relit(host, warped, regions)
    base = fill_scenery(host, regions.behind, regions.open_air, regions.old)
    result = pixels(laplacian_blend(base, top, regions.narrow, regions.wide))
    labels = (regions.labels - _SHIFT).squeeze(1).cpu().numpy()
    planes_of = [
        plane.squeeze(1).cpu().numpy()
        for plane in (regions.unlabeled, regions.pasted, regions.filled)
    ]
    return [
        _recombined(edit, image, own, *masks, cut_off=cut_off, names=names)
        for edit, image, own, *masks, cut_off in zip(
            edits, result, labels, *planes_of, regions.cut_off.tolist(), strict=True
        )
    ]


def _shown(edit: Transplant) -> np.ndarray:
    """The donor's piece, without color for a host that has none."""
    piece = cut(edit.donor.image, edit.piece)
    if not edit.host.gray or edit.donor.gray:
        return piece
    luma = (piece @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    return np.repeat(luma[..., None], 3, axis=2)


#: What a class is to an edit, as bits.
_MOVED, _SPARED, _SCENERY, _CLASS, _INSIDE = 1, 2, 4, 8, 16


def _kinds(edit: Transplant, names: Sequence[str], taxonomy: Taxonomy) -> np.ndarray:
    """Bits of each shifted label, uint8 (classes + 2,)."""
    kinds = np.full(len(names) + _SHIFT, _CLASS | _INSIDE, np.uint8)
    kinds[:_SHIFT] = 0, _INSIDE
    scenery = [names.index(c) for c in taxonomy.leaves.get(BACKGROUND, ())]
    for classes, bit in ((edit.moved, _MOVED), (edit.protected, _SPARED), (scenery, _SCENERY)):
        kinds[[c + _SHIFT for c in classes]] |= bit
    return kinds


@dataclass(frozen=True)
class _Regions:
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
    lit : bool
        Where both show the same kept class of the foreground.
    labels : int16
        Classes afterwards, shifted.
    unlabeled : bool
        Holes whose class is still to be found.
    behind : bool
        What shows through holes is made of these pixels.
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
    lit: Tensor
    labels: Tensor
    unlabeled: Tensor
    behind: Tensor
    open_air: Tensor
    pasted: Tensor
    filled: Tensor
    cut_off: Tensor


def _regions(here: Tensor, there: Tensor, kinds: Tensor, removes: Tensor) -> _Regions:
    """What becomes of each pixel.

    Parameters
    ----------
    here, there : int16 (B, 1, H, W)
        Shifted labels of host and donor.
    kinds : uint8 (B, classes + 2)
    removes : bool (B,)
    """
    # As places in tables, once.
    here_places, there_places = here.long(), there.long()
    host, donor = _lookup(kinds, here_places), _lookup(kinds, there_places)
    radius = _radius(here)
    free = _has(host, _INSIDE) & ~_has(host, _SPARED)
    segment = _has(host, _MOVED)
    scenery = _has(host, _SCENERY)
    # The outline of a segment against its scenery shows some of that scenery.
    rim = dilate(_has(donor, _SCENERY), 1 + (radius > 4))
    moved = _has(donor, _MOVED) & ~removes[:, None, None, None]
    new = moved & free & ~rim
    old = dilate(segment, 2) & free
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
    same = (here == there) & _has(host, _CLASS) & ~segment
    core = new | borrowed
    body = dilate(core, 1) & (core | (same & free))
    narrow = torch.maximum(weights(erode(core, 1)), binomial_blur_mask(body).mul_(weights(body)))
    spread = dilate(core, radius // 2 + 1) & (core | (same & free))
    wide = blur(downsample2x_mask(spread), radius / 6).mul_(downsample2x_mask(dilate(spread, 1)))
    wide = torch.maximum(wide, downsample2x(narrow))

    labels = where(new | (segment & borrowed), there, here)
    air = (counts * _has(kinds, _SCENERY)).argmax(dim=1)[:, None, None, None]
    usual_scenery = air.to(labels.dtype)
    edge = new & ~erode(new | ~_has(host, _INSIDE), 1)
    beyond = edge & dilate(there == 0, 1)
    return _Regions(
        old=old,
        foreign=new | (borrowed & ~_lookup(own, there_places)),
        narrow=narrow,
        wide=wide,
        lit=same & ~near & ~scenery,
        labels=where(segment & ~core & open_air, usual_scenery, labels),
        unlabeled=segment & ~core & ~open_air,
        behind=_has(host, _INSIDE) & ~old & (scenery | ~open_air),
        open_air=open_air,
        pasted=core,
        filled=hole & ~core,
        cut_off=_count(beyond) / _count(edge).clamp_min(1),
    )


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


def _relit(host: Tensor, warped: Tensor, regions: _Regions) -> Tensor:
    """The donor's pixels in the host's light: at a quarter of the size, for light is smooth."""
    small = [downsample2x(downsample2x(image)) for image in (host, warped)]
    base, top = (rgb_to_lab(image) for image in small)
    lit = weights(quarter_mask(regions.lit) > 0.9)
    matched = match_contrast(base, top, lit)
    field = lighting_field(base, matched, lit)
    foreign = quarter_mask(regions.foreign)
    change = limited(field) * foreign + field * (1 - foreign)
    difference = lab_to_rgb(matched + change) - small[1]
    return upsample2x(upsample2x(difference)).add_(warped).clamp_(0, 1)


def _count(mask: Tensor) -> Tensor:
    return mask.view(torch.uint8).flatten(1).sum(dim=1, dtype=torch.int32)


def _recombined(
    edit: Transplant,
    image: np.ndarray,
    labels: np.ndarray,
    hole: np.ndarray,
    pasted: np.ndarray,
    filled: np.ndarray,
    *,
    cut_off: float,
    names: Sequence[str],
) -> Recombined:
    """The host with its window replaced."""
    window, (height, width) = edit.window, edit.host.size
    rows = slice(window.y, min(window.y + window.height, height))
    columns = slice(window.x, min(window.x + window.width, width))
    inner = (slice(0, rows.stop - rows.start), slice(0, columns.stop - columns.start))
    result = pasted_back(edit.host.image, image, window)
    before = edit.host.labels(names)[rows, columns]
    after = labels[inner]
    after = _nearest_kept(after, hole[inner], edit.moved)
    masks = dict(edit.host.masks)
    changed = before != after
    numbers = np.bincount(np.concatenate([before[changed], after[changed]]) + 1)[1:]
    for number in np.flatnonzero(numbers).tolist():
        own = after == number
        mask = masks.get(names[number])
        mask = np.zeros((height, width), bool) if mask is None else mask.copy()
        mask[rows, columns] = own
        masks[names[number]] = mask
        if not mask.any():
            del masks[names[number]]
    marks = [np.zeros((height, width), bool) for _ in range(2)]
    for mark, plane in zip(marks, (pasted, filled), strict=True):
        mark[rows, columns] = plane[inner]
    return Recombined(result, masks, pasted=marks[0], filled=marks[1], cut_off=cut_off)


def _nearest_kept(labels: np.ndarray, hole: np.ndarray, moved: Sequence[int]) -> np.ndarray:
    """Gives a hole's pixels the class of the nearest kept segment."""
    box = bounding_box(hole)
    if box is None:
        return labels
    left, top, right, bottom = box
    # What surrounds a hole is near it, unless moved segments do.
    for room in (4, max(labels.shape)):
        part = (
            slice(max(top - room, 0), bottom + room),
            slice(max(left - room, 0), right + room),
        )
        own, gap = labels[part], hole[part]
        kept = ~gap & (own >= 0) & ~np.isin(own, moved)
        if kept.any():
            nearest = distance_transform_edt(~kept, return_distances=False, return_indices=True)
            result = labels.copy()
            result[part][gap] = own[tuple(axis[gap] for axis in nearest)]
            return result
    return np.where(hole, np.int16(NO_CLASS), labels)
