"""Filling holes from their surroundings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from heml.recombination.pyramid import double, halve, shrink


def fill_holes(values: Tensor, known: Tensor) -> Tensor:
    """Fills unknown pixels smoothly from known ones: normalized averages on a pyramid.

    Every level halves the size, then unknown pixels take the next coarser level's value (the
    pull-push scheme of Gortler et al., "The Lumigraph", SIGGRAPH 1996).

    Parameters
    ----------
    values : Tensor, shape (B, C, H, W), float
    known : Tensor, shape (B, 1, H, W), float
        1 where a value is to be trusted, 0 in holes.

    Returns
    -------
    Tensor, shape (B, C, H, W)
        Known pixels unchanged. An image without any known pixel becomes 0.
    """
    height, width = values.shape[-2:]
    if height == width == 1:
        return values * (known > 0)
    to_even = (0, width % 2, 0, height % 2)
    padded, weight = pad(values * known, to_even), pad(known, to_even)
    weight = halve(weight)
    coarse = fill_holes(halve(padded) / weight.clamp_min(1e-6), (weight > 0).to(values.dtype))
    expanded = double(coarse)[..., :height, :width]
    return torch.where(known > 0, values, expanded)


#: How far beside a hole its texture is looked for, in pixels.
_SHIFTS = (6, 12, 24, 48, 96)
#: Width of a known region's edge whose texture is not taken: its shading is half guessed there.
_EDGE = 4


def fill_scenery(image: Tensor, known: Tensor, textured: Tensor) -> Tensor:
    """Fills what is behind a foreground: shading from all around, fine texture from beside.

    Parameters
    ----------
    image : Tensor, shape (B, 3, H, W), in [0, 1], H and W divisible by 4
    known : Tensor, shape (B, 1, H, W), bool
        Pixels of the scenery.
    textured : Tensor, shape (B, 1, 1, 1), bool
        Images whose holes get texture; the others' are filled smoothly.

    Returns
    -------
    Tensor, shape (B, 3, H, W), in [0, 1]
        Known pixels unchanged.
    """
    weight = halve(halve(known.float()))
    mean = halve(halve(image * known)) / weight.clamp_min(1e-6)
    shading = double(double(fill_holes(mean, (weight > 0.25).float())))
    source = shrink(known, _EDGE) & textured
    texture = (image - shading) * source
    result = torch.where(known, image, shading)
    wanted = ~known & textured
    for shift in _SHIFTS:
        for down, right in ((0, shift), (0, -shift), (shift, 0), (-shift, 0)):
            if not bool(wanted.any()):
                return result.clamp(0, 1)
            # The nearest texture on any side; what it leaves, the next shift takes.
            take = wanted & _shifted(source, down, right)
            result = result + _shifted(texture, down, right) * take
            wanted = wanted & ~take
    return result.clamp(0, 1)


def _shifted(values: Tensor, down: int, right: int) -> Tensor:
    """Each pixel's neighbour some pixels away, zero beyond the border."""
    height, width = values.shape[-2:]
    result = torch.zeros_like(values)
    if abs(down) < height and abs(right) < width:
        rows = slice(max(-down, 0), height - max(down, 0))
        columns = slice(max(-right, 0), width - max(right, 0))
        result[..., rows, columns] = values[
            ...,
            rows.start + down : rows.stop + down,
            columns.start + right : columns.stop + right,
        ]
    return result
