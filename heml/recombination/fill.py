"""Filling holes from their surroundings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from heml.recombination.pyramid import double, halve


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
