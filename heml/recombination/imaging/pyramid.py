"""Resampling, blurring and morphology of batches, from plain slices.

A sample's result must not depend on what shares its batch, to the last bit: convolutions may take
another path for another batch size, sums of slices do not. On a CPU they are also several times
faster for small kernels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


def downsample2x(values: Tensor) -> Tensor:
    """Means of 2 × 2 pixels; both sides of (B, C, H, W) must be even."""
    rows = values[..., ::2, :] + values[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)


def downsample2x_mask(mask: Tensor) -> Tensor:
    """`downsample2x` of a bool mask (B, 1, H, W) as float: counted while a pixel is still a byte.
    `downsample2x` of a bool mask (B, 1, H, W) as float: counted while a pixel is still a byte."""
    return _squares(mask.view(torch.uint8)).float().mul_(1 / 4)


def quarter_mask(mask: Tensor) -> Tensor:
    """Means of 4 × 4 pixels of a bool mask (B, 1, H, W); both sides must be multiples of 4."""
    return _squares(_squares(mask.view(torch.uint8))).float().mul_(1 / 16)


def _squares(counts: Tensor) -> Tensor:
    """Sums of 2 × 2 bytes that stay below 256."""
    rows = counts[..., ::2, :] + counts[..., 1::2, :]
    pairs = rows.view(torch.int16)
    return ((pairs & 255) + (pairs >> 8)).to(torch.uint8)


def upsample2x(values: Tensor) -> Tensor:
    """Bilinear enlargement of (B, C, H, W) to (B, C, 2 H, 2 W), pixel centers kept."""
    return _upsample2x(_upsample2x(values, -1), -2)


def _upsample2x(values: Tensor, dim: int) -> Tensor:
    count = values.shape[dim]
    shape = list(values.shape)
    shape[dim] = 2 * count
    result = values.new_empty(shape)
    # Views of every second row or column, written in place: no copy is stacked afterwards.
    even, odd = (_every_second(result, dim, first) for first in (0, 1))
    first, last = values.narrow(dim, 0, count - 1), values.narrow(dim, 1, count - 1)
    torch.lerp(last, first, 0.25, out=even.narrow(dim, 1, count - 1))
    torch.lerp(first, last, 0.25, out=odd.narrow(dim, 0, count - 1))
    even.narrow(dim, 0, 1).copy_(values.narrow(dim, 0, 1))
    odd.narrow(dim, count - 1, 1).copy_(values.narrow(dim, count - 1, 1))
    return result


def _every_second(values: Tensor, dim: int, first: int) -> Tensor:
    return values[..., first::2] if dim == -1 else values[..., first::2, :]


def binomial_blur(values: Tensor) -> Tensor:
    """Binomial blur of (B, C, H, W) over 3 × 3 pixels, borders repeated."""
    return _filter(_filter(values, (0.5, 0.25), -1), (0.5, 0.25), -2)


def binomial_blur_mask(mask: Tensor) -> Tensor:
    """`binomial_blur` of a bool mask (B, 1, H, W) as float: counted while a pixel is still a byte.
    `binomial_blur` of a bool mask (B, 1, H, W) as float: counted while a pixel is still a byte."""
    counts = mask.view(torch.uint8)
    for dim in (-1, -2):
        length = counts.shape[dim] - 1
        sums = counts + counts
        sums.narrow(dim, 1, length).add_(counts.narrow(dim, 0, length))
        sums.narrow(dim, 0, length).add_(counts.narrow(dim, 1, length))
        for border in (0, length):
            sums.narrow(dim, border, 1).add_(counts.narrow(dim, border, 1))
        counts = sums
    return counts.float().mul_(1 / 16)


def gaussian_taps(sigma: float) -> list[float]:
    """One side of a normalized Gaussian of some pixels, the center first."""
    radius = max(int(3 * sigma + 0.5), 1)
    weights = torch.exp(-0.5 * (torch.arange(radius + 1, dtype=torch.float64) / sigma) ** 2)
    total = float(weights[0] + 2 * weights[1:].sum())
    return [float(w) / total for w in weights]


def blur(values: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur of (B, C, H, W), borders repeated."""
    taps = gaussian_taps(sigma)
    return _filter(_filter(values, taps, -1), taps, -2)


def _filter(values: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    radius, length = len(taps) - 1, values.shape[dim]
    edges = (radius, radius, 0, 0) if dim == -1 else (0, 0, radius, radius)
    near = pad(values, edges, mode="replicate")
    result = near.narrow(dim, radius, length) * taps[0]
    for distance, tap in enumerate(taps[1:], 1):
        result.add_(near.narrow(dim, radius - distance, length), alpha=tap)
        result.add_(near.narrow(dim, radius + distance, length), alpha=tap)
    return result


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Dilation of a bool mask (B, 1, H, W) by a square of 2 radius + 1 pixels."""
    for dim in (-1, -2):
        left = radius
        # Doubling steps: the union of shifts by 1, 2, 4 … covers every shift between.
        step = 1
        while left > 0:
            by = min(step, left)
            length = mask.shape[dim] - by
            if length <= 0:
                return mask.any(dim, keepdim=True).expand_as(mask).clone()
            wider = mask.clone()
            wider.narrow(dim, by, length).logical_or_(mask.narrow(dim, 0, length))
            wider.narrow(dim, 0, length).logical_or_(mask.narrow(dim, by, length))
            mask = wider
            left -= by
            step = 2 * step + 1 if step > 1 else 2
    return mask


def erode(mask: Tensor, radius: int) -> Tensor:
    """Erosion of a bool mask (B, 1, H, W); outside counts as inside."""
    return ~dilate(~mask, radius)
