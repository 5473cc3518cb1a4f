"""Grain: fine detail that interpolation takes away, given back.

A picture that is resampled between its pixels is smoother than before, and beside pixels that were
not it looks pasted. Sharpening by the fine detail that is left brings back as much as was lost.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heml.recombination.imaging.pyramid import binomial_blur

#: Sharpening at most, as a multiple of the detail that is left; and the amplitude of what counts as
#: grain, in [0, 1]: edges are not to ring.
MOST, AMPLITUDE = 3.0, 0.016


def with_grain(image: Tensor, inside: Tensor, source: Tensor, known: Tensor) -> Tensor:
    """Resampled pictures with the fine detail, measured in green, of those that they come from.

    Parameters
    ----------
    image : Tensor, shape (B, 3, H, W), in [0, 1]
        Resampled.
    inside : Tensor, shape (B, 1, H, W), bool
        Pixels that count.
    source : Tensor, shape (B, 3, h, w), in [0, 1]
        Before.
    known : Tensor, shape (B, 1, h, w), bool

    Returns
    -------
    Tensor, shape (B, 3, H, W), in [0, 1]
        Where nothing was lost, the pictures as they are.
    """
    # One by one: sums over a batch could differ in their last bits.
    return torch.cat(
        [
            _sharpened(*(each[place : place + 1] for each in (image, inside, source, known)))
            for place in range(len(image))
        ]
    )


def _sharpened(image: Tensor, inside: Tensor, source: Tensor, known: Tensor) -> Tensor:
    wanted = _detail(source[0, 1], _whole(known))
    plane, whole = image[0, 1], _whole(inside)
    if not 0 < _detail(plane, whole) < wanted:
        return image
    fine = (image - binomial_blur(image)).clamp_(-AMPLITUDE, AMPLITUDE)
    low, high = 0.0, MOST
    # Detail grows with sharpening: halving the interval finds the amount.
    for _ in range(6):
        middle = (low + high) / 2
        if _detail(torch.add(plane, fine[0, 1], alpha=middle), whole) < wanted:
            low = middle
        else:
            high = middle
    return torch.add(image, fine, alpha=low).clamp_(0, 1)


def _whole(mask: Tensor) -> Tensor:
    """Where a Laplacian lies in a mask (1, 1, H, W) with all its pixels, bool (H - 2, W - 2)."""
    inside = mask[0, 0]
    whole = inside[1:-1, 1:-1] & inside[:-2, 1:-1] & inside[2:, 1:-1]
    return whole & inside[1:-1, :-2] & inside[1:-1, 2:]


def _detail(plane: Tensor, whole: Tensor) -> float:
    """Mean absolute Laplacian of a channel (H, W) at some pixels; 0 without any."""
    middle = plane[1:-1, 1:-1]
    around = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:]
    found = (4 * middle - around).abs_()[whole]
    return float(found.mean()) if len(found) else 0.0
