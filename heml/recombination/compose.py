"""The operators: one recombined image from a host and a donor with their segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from kornia.geometry.transform import warp_affine
from kornia.morphology import erosion
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn.functional import interpolate

from heml.metrics.views import box_of, union
from heml.recombination.align import align_donor
from heml.recombination.blend import (
    feather,
    lab_statistics,
    laplacian_blend,
    levels_for,
    shift_colour,
    transfer_tone,
)
from heml.recombination.fill import fill_holes
from heml.taxonomy import BACKGROUND, Taxonomy

#: Feathering of edges as a share of the shorter side.
FEATHER = 0.005
#: Share of the lighting difference between host and donor that is taken out of moved segments.
LIGHT_MATCH = 0.8
#: Largest such correction in LAB units.
MAX_LIGHT = 20.0

Masks = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Picture:
    """An image with its segments.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
    masks : mapping of class name to bool array (H, W)
    """

    image: np.ndarray
    masks: Masks


def compose(
    operator: str,
    host: Picture,
    donor: Picture,
    nodes: Sequence[str],
    taxonomy: Taxonomy,
    protected: Sequence[str] = (),
) -> Picture:
    """One recombined picture, of the host's size.

    Parameters
    ----------
    operator : str
        transplant, insert, remove, recolour or background.
    host, donor : Picture
    nodes : sequence of str
        Leaves that are exchanged.
    taxonomy : Taxonomy
    protected : sequence of str
        Leaves of the host that nothing may cover.

    Raises
    ------
    ValueError
        For an unknown operator.
    """
    if operator in ("transplant", "insert", "remove"):
        return _transplant(host, donor, nodes, taxonomy, protected)
    if operator == "recolour":
        return _recolour(host, donor, nodes, taxonomy)
    if operator == "background":
        return _exchange_background(host, donor, nodes, taxonomy)
    raise ValueError(f"unknown operator '{operator}'")


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def _plane(mask: np.ndarray | None, shape: tuple[int, ...]) -> Tensor:
    plane = np.zeros(shape[:2], bool) if mask is None else mask
    return torch.from_numpy(plane)[None, None].float()


def _array(image: Tensor) -> np.ndarray:
    scaled = (image[0].permute(1, 2, 0) * 255).round().clamp(0, 255)
    return scaled.to(torch.uint8).numpy()


def _classes(nodes: Sequence[str], taxonomy: Taxonomy) -> list[str]:
    return [c for node in nodes for c in taxonomy.classes_of(node)]


def _sigma(shape: tuple[int, ...]) -> float:
    return max(FEATHER * min(shape[:2]), 0.6)


def _transplant(
    host: Picture,
    donor: Picture,
    nodes: Sequence[str],
    taxonomy: Taxonomy,
    protected: Sequence[str],
) -> Picture:
    """Moves leaves over: the host's own are taken out and filled, the donor's put in."""
    shape = host.image.shape
    moved = _classes(nodes, taxonomy)
    old = _plane(union(host.masks, moved), shape)
    matrix = align_donor(taxonomy, nodes, host.masks, donor.masks)
    transform = torch.from_numpy(matrix).float()[None]
    size = (shape[0], shape[1])
    parts = {
        name: warp_affine(_plane(donor.masks[name], donor.image.shape), transform, size)
        for name in moved
        if name in donor.masks
    }
    new = torch.stack(list(parts.values())).amax(0) if parts else torch.zeros_like(old)
    kept = _plane(union(host.masks, _classes(protected, taxonomy)), shape)
    new = (new > 0.5).float() * (1 - kept)
    masks = _masks_after(host.masks, {k: (v > 0.5) for k, v in parts.items()}, new, moved)
    if not (old.any() or new.any()):
        return Picture(host.image.copy(), masks)

    sigma = _sigma(shape)
    rows, columns = _window(torch.maximum(old, new), margin=int(16 * sigma) + 8)
    shift = np.array([[0, 0, -columns.start], [0, 0, -rows.start]])
    transform = torch.from_numpy(matrix + shift).float()[None]
    old, new = old[..., rows, columns], new[..., rows, columns]
    own = _tensor(host.image)[..., rows, columns]
    # Beyond the donor's border its last pixels go on: a transplant there ends in colour, not black.
    warped = warp_affine(
        _tensor(donor.image),
        transform,
        (own.shape[-2], own.shape[-1]),
        padding_mode="border",
        align_corners=True,
    )
    warped = _match_light(warped, host, donor, moved, taxonomy)
    # The old segment's soft outline goes with it.
    hole = feather(old, sigma).gt(0.02).float()
    base = fill_holes(own, 1 - hole)
    # In blending, the donor's own surroundings would bleed in: its segment is extended over them.
    extended = fill_holes(warped, new)
    blended = laplacian_blend(base, extended, feather(new, sigma), levels_for(float(new.sum())))
    touched = torch.maximum(feather(hole, sigma), feather(new, 4 * sigma)).clamp(0, 1)
    result = host.image.copy()
    result[rows, columns] = _array(own * (1 - touched) + blended * touched)
    return Picture(result, masks)


def _window(mask: Tensor, margin: int) -> tuple[slice, slice]:
    """Rows and columns around a mask."""
    left, top, right, bottom = box_of(mask[0, 0].numpy() > 0.5)
    height, width = mask.shape[-2:]
    return (
        slice(max(top - margin, 0), min(bottom + margin, height)),
        slice(max(left - margin, 0), min(right + margin, width)),
    )


def _match_light(
    warped: Tensor, host: Picture, donor: Picture, moved: Sequence[str], taxonomy: Taxonomy
) -> Tensor:
    """Takes out part of the lighting difference, measured on leaves that both have and keep."""
    left_out = {*moved, *taxonomy.leaves.get(BACKGROUND, ())}
    shared = [c for c in host.masks if c in donor.masks and c not in left_out]
    in_host, in_donor = union(host.masks, shared), union(donor.masks, shared)
    if in_host is None or in_donor is None:
        return warped
    levels = [
        lab_statistics(_tensor(p.image), _plane(mask, p.image.shape))[0]
        for p, mask in ((host, in_host), (donor, in_donor))
    ]
    amount = ((levels[0] - levels[1]) * LIGHT_MATCH).clamp(-MAX_LIGHT, MAX_LIGHT)
    return shift_colour(warped, amount)


def _masks_after(
    host: Masks, moved_in: Mapping[str, Tensor], new: Tensor, moved: Sequence[str]
) -> dict[str, np.ndarray]:
    """Segments of a transplant: what the hole shows belongs to the nearest class beside it."""
    covered = new[0, 0].numpy() > 0.5
    old = union(host, moved)
    left = {name: mask & ~covered for name, mask in host.items() if name not in moved}
    names = list(left)
    if old is not None and names:
        owner = np.full(covered.shape, -1)
        for number, name in enumerate(names):
            owner[left[name]] = number
        if (owner >= 0).any():
            nearest = distance_transform_edt(owner < 0, return_distances=False, return_indices=True)
            hole = old & ~covered
            owner[hole] = owner[tuple(nearest)][hole]
            left = {name: owner == number for number, name in enumerate(names)}
    for name, plane in moved_in.items():
        left[name] = plane[0, 0].numpy() & covered
    return {name: mask for name, mask in left.items() if mask.any()}


def _recolour(host: Picture, donor: Picture, nodes: Sequence[str], taxonomy: Taxonomy) -> Picture:
    """Gives the host's leaves the donor's colours; shapes and masks stay."""
    classes = _classes(nodes, taxonomy)
    inside = _plane(union(host.masks, classes), host.image.shape)
    reference = _plane(union(donor.masks, classes), donor.image.shape)
    if not (inside.any() and reference.any()):
        return Picture(host.image.copy(), dict(host.masks))
    image = _tensor(host.image)
    toned = transfer_tone(image, inside, _tensor(donor.image), reference)
    alpha = feather(inside, _sigma(host.image.shape))
    return Picture(_array(image * (1 - alpha) + toned * alpha), dict(host.masks))


def _exchange_background(
    host: Picture, donor: Picture, nodes: Sequence[str], taxonomy: Taxonomy
) -> Picture:
    """Puts the host's foreground before the donor's background, filled behind the donor."""
    classes = _classes(nodes, taxonomy)
    shape = host.image.shape
    behind = _plane(union(host.masks, classes), shape)
    front = 1 - behind
    known = _plane(union(donor.masks, classes), donor.image.shape)
    # A pixel of the donor's outline belongs half to the donor: it is no background.
    known = erosion(known, torch.ones(3, 3))
    scenery = fill_holes(_tensor(donor.image), known)
    scenery = _cover(scenery, (shape[0], shape[1]))
    alpha = feather(erosion(front, torch.ones(3, 3)), _sigma(shape))
    result = scenery * (1 - alpha) + _tensor(host.image) * alpha
    return Picture(_array(result), dict(host.masks))


def _cover(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Scales an image to cover a size and cuts the middle out."""
    height, width = image.shape[-2:]
    scale = max(size[0] / height, size[1] / width)
    grown = (max(round(height * scale), size[0]), max(round(width * scale), size[1]))
    image = interpolate(image, grown, mode="bilinear", align_corners=False, antialias=True)
    top, left = (grown[0] - size[0]) // 2, (grown[1] - size[1]) // 2
    return image[..., top : top + size[0], left : left + size[1]]
