"""Filling holes from their surroundings."""

from __future__ import annotations

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn.functional import interpolate


def fill_holes(values: Tensor, known: Tensor) -> Tensor:
    """Fills unknown pixels smoothly from known ones: normalized convolution on a pyramid.

    Every level halves the size until a pixel sees the whole image, then unknown pixels take the
    next coarser level's value (the pull-push scheme of Gortler et al., "The Lumigraph", 1996).

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
    if min(height, width) <= 2:
        weight = known.mean(dim=(-2, -1), keepdim=True)
        mean = (values * known).mean(dim=(-2, -1), keepdim=True) / weight.clamp_min(1e-6)
        return torch.where(known > 0, values, mean)
    radius = 5 if min(height, width) > 4 else 3
    weight = gaussian_blur2d(known, (radius, radius), (1.0, 1.0))
    smooth = gaussian_blur2d(values * known, (radius, radius), (1.0, 1.0))
    size = ((height + 1) // 2, (width + 1) // 2)
    weight_half = interpolate(weight, size, mode="area")
    values_half = interpolate(smooth, size, mode="area") / weight_half.clamp_min(1e-6)
    coarse = fill_holes(values_half, (weight_half > 1e-3).float())
    expanded = interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return torch.where(known > 0, values, expanded)
