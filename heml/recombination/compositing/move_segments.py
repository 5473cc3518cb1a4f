"""Transplant, insert and remove: segments of a donor take the place of the host's, in batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import binary_dilation, distance_transform_edt
from torch import Tensor

from heml.images.bounding_box import bounding_box
from heml.recombination.compositing.edit_regions import SHIFT, Regions, find_regions, label_kinds
from heml.recombination.compositing.place_segments import Transplant
from heml.recombination.imaging.blend import (
    laplacian_blend,
    light_is_known,
    lighting_field,
    limited,
    match_contrast,
)
from heml.recombination.imaging.fill import fill_scenery
from heml.recombination.imaging.gray import in_gray
from heml.recombination.imaging.lab import lab_to_rgb, rgb_to_lab
from heml.recombination.imaging.masked import weights, where
from heml.recombination.imaging.matte import Matte
from heml.recombination.imaging.patch_fill import fill_patches
from heml.recombination.imaging.pyramid import downsample2x, quarter_mask, upsample2x
from heml.recombination.imaging.segmented_image import NO_CLASS, Recombined
from heml.recombination.imaging.windows import (
    Window,
    colors,
    cut,
    cut_labels,
    pasted_back,
    pixels,
    planes,
    warp,
)
from heml.taxonomy import Taxonomy

#: Share of a window from which a hole is filled patch by patch.
TEXTURED = 0.02


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
    kinds = np.stack([label_kinds(e, names, taxonomy) for e in edits])
    here = planes(own, device) + SHIFT
    old = _opacity([(e.old, e.window) for e in edits], device)
    shown = [_shown(e, e.donor.image) for e in edits]
    alone = [
        s if e.new is None else _shown(e, e.new.color) for e, s in zip(edits, shown, strict=True)
    ]
    donor = torch.cat(
        [
            colors(shown, device),
            colors(alone, device),
            _opacity([(e.new, e.piece) for e in edits], device),
        ],
        dim=1,
    )
    there = planes([cut_labels(e.donor.labels(names), e.piece) for e in edits], device) + SHIFT
    size = (host.shape[-2], host.shape[-1])
    warped, there = warp(donor, there.float(), np.stack([e.matrix for e in edits]), size)

    removes = torch.tensor([e.removes for e in edits], device=device)
    regions = find_regions(
        here,
        there.to(here.dtype),
        warped[:, 6:],
        old,
        torch.from_numpy(kinds).to(device),
        removes,
    )
    light = _light(host, warped[:, :3], regions)
    top = where(regions.alone, warped[:, 3:6], warped[:, :3]).add_(light).clamp_(0, 1)
    base = fill_scenery(host, regions.behind, regions.open_air, regions.old)
    base = _with_texture(edits, base, regions)
    result = pixels(laplacian_blend(base, top, regions.narrow, regions.wide, regions.alike))
    labels = (regions.labels - SHIFT).squeeze(1).cpu().numpy()
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


def _shown(edit: Transplant, image: np.ndarray) -> np.ndarray:
    """The donor's piece of a picture, in gray where the host is gray."""
    piece = cut(image, edit.piece)
    return in_gray(piece) if edit.host.gray and not edit.donor.gray else piece


def _opacity(mattes: Sequence[tuple[Matte | None, Window]], device: torch.device) -> Tensor:
    """Opacity in windows, float (B, 1, H, W); 0 where there is no matte."""
    empty = [np.zeros((window.height, window.width), np.uint8) for _, window in mattes]
    pieces = [
        none if matte is None else cut(matte.alpha, window)
        for (matte, window), none in zip(mattes, empty, strict=True)
    ]
    return planes(pieces, device).float() / 255


def _with_texture(edits: Sequence[Transplant], base: Tensor, regions: Regions) -> Tensor:
    """Large holes in scenery filled patch by patch: smooth ones would show."""
    holes = regions.filled.squeeze(1).cpu().numpy()
    known = regions.behind.squeeze(1).cpu().numpy()
    for place, edit in enumerate(edits):
        hole = holes[place]
        if hole.sum() < TEXTURED * hole.size:
            continue
        # The old segment's soft edge must go with it, and so its surroundings are drawn as well.
        gap = binary_dilation(hole, iterations=2) & ~known[place]
        image = fill_patches(cut(edit.host.image, edit.window), gap, known[place])
        drawn = colors([image], base.device)
        base[place] = torch.where(torch.from_numpy(gap).to(base.device), drawn[0], base[place])
    return base


def _light(host: Tensor, warped: Tensor, regions: Regions) -> Tensor:
    """What brings the donor's pixels into the host's light, computed at a quarter of the size:
    light is smooth."""
    small = [downsample2x(downsample2x(image)) for image in (host, warped)]
    base, top = (rgb_to_lab(image) for image in small)
    lit = weights(quarter_mask(regions.lit) > 0.9)
    matched = match_contrast(base, top, lit)
    field = lighting_field(base, matched, lit).mul_(light_is_known(lit))
    foreign = quarter_mask(regions.foreign)
    change = limited(field) * foreign + field * (1 - foreign)
    difference = lab_to_rgb(matched + change) - small[1]
    return upsample2x(upsample2x(difference))


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
    # A kept segment is usually near the hole, unless moved segments surround it.
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
