"""Filling large holes with texture from the same picture, patch by patch, from coarse to fine.

Space-time completion (Wexler, Shechtman & Irani, PAMI 2007) with nearest patches found as
PatchMatch does (Barnes et al., SIGGRAPH 2009), but from a fixed pattern of candidates instead of
random ones. On the coarsest level all patches are compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad

from heml.recombination.imaging.fill import fill_holes

#: Side of a patch, and the coefficients of its discrete cosine transform that are compared, by
#: channel: brightness tells more than color.
PATCH, FREQUENCIES = 7, (4, 2, 2)
#: Longest side of the coarsest level, and of the finest on which patches are still compared; on
#: finer ones they only move along.
COARSEST, COMPARED = 40, 400
#: Rounds of search and vote on the coarsest level and on each of the others.
ROUNDS, FINER_ROUNDS = 6, 1
#: On finer levels every second patch of every second row is matched; those between move along.
STRIDE = 2
#: Distances at which a neighbor's match, or a place beside the own match, is tried.
STEPS = (1, 3, 8)
#: How sharply better matches outweigh others in the vote.
SHARPNESS = 4.0
#: Side of the square whose mean is not fine detail.
DETAIL = 5
_RADIUS = PATCH // 2


@dataclass(frozen=True)
class _Level:
    image: Tensor  # (1, 3, H, W)
    hole: Tensor  # bool (H, W)
    source: Tensor  # bool (H, W): patches around these pixels are wholly known


def fill_patches(image: np.ndarray, hole: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fills a hole with what the known part of the picture shows.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
    hole : bool array (H, W)
        Pixels to be filled.
    known : bool array (H, W)
        Pixels that may serve as a source, none of the hole's. Pixels of neither are left alone, and
        nothing is taken from them.

    Returns
    -------
    uint8 array (H, W, 3)
        All other pixels unchanged; smooth where no patch is wholly known.
    """
    if not hole.any() or not known.any():
        return image
    levels = _levels(image, hole, known)
    matches: Tensor | None = None
    for level in reversed(levels):
        first = matches is None
        if matches is None:
            current = _smooth(level)
        else:
            matches = _finer(matches, level)
            current = _vote(level, matches)
        if not level.source.any():
            continue
        source = _descriptors(level.image)
        targets = _targets(level, 1 if first else STRIDE)
        compared = first or max(level.hole.shape) <= COMPARED
        for _ in range((ROUNDS if first else FINER_ROUNDS) if compared else 0):
            own = _descriptors(current)
            if first or matches is None:
                matches = _nearest(own, source, level, targets)
            else:
                matches = _improved(own, source, level, targets, matches)
            current = _vote(level, matches, own, source)
    if matches is not None:
        current = _with_detail(levels[0], matches, current)
    result = image.copy()
    filled = (current[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    result[hole] = filled[hole]
    return result


def _levels(image: np.ndarray, hole: np.ndarray, known: np.ndarray) -> list[_Level]:
    """The picture at its size, at half of it, and so on."""
    colors = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    gap, sure = (torch.from_numpy(m)[None, None].float() for m in (hole, known))
    levels = []
    while True:
        solid = -max_pool2d(-pad(sure, (_RADIUS,) * 4), PATCH, stride=1)
        levels.append(_Level(colors, gap[0, 0] > 0, solid[0, 0] > 0.99))
        height, width = colors.shape[-2:]
        if max(height, width) <= COARSEST or min(height, width) < 4 * PATCH:
            return levels
        # A coarse pixel is known as far as its known pixels say, and a hole if any of them is.
        weight = avg_pool2d(sure, 2, ceil_mode=True, count_include_pad=False)
        mean = avg_pool2d(colors * sure, 2, ceil_mode=True, count_include_pad=False)
        plain = avg_pool2d(colors, 2, ceil_mode=True, count_include_pad=False)
        colors = torch.where(weight > 0, mean / weight.clamp_min(1e-6), plain)
        gap = max_pool2d(gap, 2, ceil_mode=True)
        sure = (weight > 0.5).float() * (1 - gap)


def _smooth(level: _Level) -> Tensor:
    """The level with its hole filled smoothly."""
    gap = level.hole[None, None].float()
    return torch.lerp(level.image, fill_holes(level.image, 1 - gap), gap)


def _kernels() -> Tensor:
    """Low frequencies of a patch in brightness and two color differences, (K, 3, PATCH, PATCH)."""
    place = (torch.arange(PATCH) + 0.5) * math.pi / PATCH
    waves = torch.stack([torch.cos(frequency * place) for frequency in range(max(FREQUENCIES))])
    waves /= waves.norm(dim=1, keepdim=True)
    mixes = torch.tensor([[0.299, 0.587, 0.114], [0.5, -0.5, 0.0], [0.25, 0.25, -0.5]])
    found = [
        mix[:, None, None] * waves[down][:, None] * waves[right]
        for mix, count in zip(mixes, FREQUENCIES, strict=True)
        for down in range(count)
        for right in range(count)
    ]
    return torch.stack(found)


def _descriptors(image: Tensor) -> Tensor:
    """What a patch around each pixel looks like, (H, W, K)."""
    around = pad(image, (_RADIUS,) * 4, mode="replicate")
    return conv2d(around, _kernels())[0].permute(1, 2, 0).contiguous()


def _near(level: _Level) -> Tensor:
    """Places whose patch has a pixel of the hole, bool (H, W)."""
    return max_pool2d(level.hole[None, None].float(), PATCH, stride=1, padding=_RADIUS)[0, 0] > 0


def _targets(level: _Level, stride: int) -> Tensor:
    """Some of those places (N,)."""
    chosen = torch.zeros_like(level.hole)
    chosen[::stride, ::stride] = True
    return (chosen & _near(level)).flatten().nonzero()[:, 0]


def _nearest(own: Tensor, source: Tensor, level: _Level, targets: Tensor) -> Tensor:
    """Match of each place, int64 (H W,), all sources compared."""
    places = level.source.flatten().nonzero()[:, 0]
    table, wanted = source.flatten(0, 1)[places], own.flatten(0, 1)[targets]
    matches = torch.arange(level.hole.numel())
    matches[targets] = torch.cat(
        [places[torch.cdist(part, table).argmin(dim=1)] for part in wanted.split(1024)]
    )
    return matches


def _improved(
    own: Tensor, source: Tensor, level: _Level, targets: Tensor, matches: Tensor
) -> Tensor:
    """Better matches among those of the neighbors and beside the own."""
    height, width = level.hole.shape
    y, x = targets // width, targets % width
    table, wanted = source.flatten(0, 1), own.flatten(0, 1)[targets]
    usable = level.source.flatten()
    best = matches[targets]
    distance = (table[best] - wanted).square().sum(1)
    distance[~usable[best]] = torch.inf
    for step in STEPS:
        for down, right in ((0, step), (0, -step), (step, 0), (-step, 0)):
            # What a neighbor's match says of this place: the place beside that match.
            ny, nx = (y + down).clamp(0, height - 1), (x + right).clamp(0, width - 1)
            there = matches[ny * width + nx]
            offered = (there // width - (ny - y), there % width - (nx - x))
            beside = (best // width + down, best % width + right)
            for row, column in (offered, beside):
                inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                at = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
                apart = (table[at] - wanted).square().sum(1)
                better = inside & usable[at] & (apart < distance)
                best = torch.where(better, at, best)
                distance = torch.where(better, apart, distance)
    result = matches.clone()
    result[targets] = best
    return _between(result, level)


def _between(matches: Tensor, level: _Level) -> Tensor:
    """Places between the matched ones move along with the one up and left of them."""
    height, width = level.hole.shape
    places = _near(level).flatten().nonzero()[:, 0]
    y, x = places // width, places % width
    leader = (y - y % STRIDE) * width + x - x % STRIDE
    match = matches[leader]
    row, column = match // width + y % STRIDE, match % width + x % STRIDE
    at = row.clamp(max=height - 1) * width + column.clamp(max=width - 1)
    led = _near(level).flatten()[leader] & level.source.flatten()[at]
    result = matches.clone()
    result[places] = torch.where(led, at, matches[places])
    return result


def _vote(
    level: _Level, matches: Tensor, own: Tensor | None = None, source: Tensor | None = None
) -> Tensor:
    """The level with each pixel of its hole as the patches over it say; better matches say more."""
    height, width = level.hole.shape
    weight = level.source.flatten()[matches].float()
    if own is not None and source is not None:
        near = _near(level).flatten().nonzero()[:, 0]
        apart = own.flatten(0, 1)[near] - source.flatten(0, 1)[matches[near]]
        distance = apart.square().sum(1)
        # An even sample of the distances says as much of their spread as all of them.
        usual = distance[:: max(len(distance) // 2048, 1)].quantile(0.75).clamp_min(1e-6)
        weight[near] *= torch.exp(-SHARPNESS * distance / usual) + 1e-6
    flat = level.image[0].flatten(1)
    hole = level.hole.flatten().nonzero()[:, 0]
    y, x = hole // width, hole % width
    total, sums = torch.zeros(3, len(hole)), torch.zeros(len(hole))
    for down in range(-_RADIUS, _RADIUS + 1):
        for right in range(-_RADIUS, _RADIUS + 1):
            row, column = y - down, x - right
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            center = (row * width + column).clamp(0, height * width - 1)
            share = weight[center] * inside
            # A source's patch is wholly inside the picture.
            from_ = (matches[center] + down * width + right).clamp(0, height * width - 1)
            total.addcmul_(flat[:, from_], share)
            sums += share
    result = _smooth(level)
    reached = sums > 0
    colors = result[0].flatten(1)
    colors[:, hole[reached]] = (total / sums.clamp_min(1e-12))[:, reached]
    return result


def _with_detail(level: _Level, matches: Tensor, voted: Tensor) -> Tensor:
    """The vote with the fine detail of the best matches: a mean over many patches has lost it."""
    height, width = level.hole.shape
    copied = level.image[0].flatten(1)[:, matches].view(1, 3, height, width)
    sharp = _mean(voted) + copied - _mean(copied)
    return torch.where(level.hole, sharp, voted).clamp(0, 1)


def _mean(image: Tensor) -> Tensor:
    return avg_pool2d(image, DETAIL, 1, DETAIL // 2, count_include_pad=False)


def _finer(matches: Tensor, level: _Level) -> Tensor:
    """Matches of a level from those of the next coarser one, moved along."""
    height, width = level.hole.shape
    tall, wide = -(-height // 2), -(-width // 2)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    coarse = matches.view(tall, wide)[y // 2, x // 2]
    row = (2 * (coarse // wide) + y % 2).clamp(_RADIUS, max(height - 1 - _RADIUS, _RADIUS))
    column = (2 * (coarse % wide) + x % 2).clamp(_RADIUS, max(width - 1 - _RADIUS, _RADIUS))
    result = (row * width + column).flatten()
    # A place that is no source on this level serves none.
    usable = level.source.flatten()[result]
    own = torch.arange(height * width)
    return torch.where(usable, result, own)
