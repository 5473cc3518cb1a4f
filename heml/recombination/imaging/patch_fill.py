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
ROUNDS, FINER_ROUNDS = 6, 2
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
            current = _vote(level, matches, None)
        if not level.source.any():
            continue
        source = _descriptors(level.image)
        targets = _targets(level)
        compared = first or max(level.hole.shape) <= COMPARED
        for _ in range((ROUNDS if first else FINER_ROUNDS) if compared else 0):
            own = _descriptors(current)
            if first or matches is None:
                matches, distance = _nearest(own, source, level, targets)
            else:
                matches, distance = _improved(own, source, level, targets, matches)
            current = _vote(level, matches, distance)
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


def _targets(level: _Level) -> Tensor:
    """Places (N,) whose patch has a pixel of the hole."""
    near = max_pool2d(level.hole[None, None].float(), PATCH, stride=1, padding=_RADIUS)
    return near.flatten().nonzero()[:, 0]


def _nearest(own: Tensor, source: Tensor, level: _Level, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Match of each place, int64 (H W,), and its squared distance (N,), all sources compared."""
    places = level.source.flatten().nonzero()[:, 0]
    table, wanted = source.flatten(0, 1)[places], own.flatten(0, 1)[targets]
    best, distance = [], []
    for part in wanted.split(1024):
        apart = torch.cdist(part, table)
        least = apart.min(dim=1)
        best.append(places[least.indices])
        distance.append(least.values.square())
    matches = torch.arange(level.hole.numel())
    matches[targets] = torch.cat(best)
    return matches, torch.cat(distance)


def _improved(
    own: Tensor, source: Tensor, level: _Level, targets: Tensor, matches: Tensor
) -> tuple[Tensor, Tensor]:
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
    return result, distance


def _vote(level: _Level, matches: Tensor, distance: Tensor | None) -> Tensor:
    """The level with each pixel of its hole as the patches over it say."""
    height, width = level.hole.shape
    targets = _targets(level)
    ok = level.source.flatten()[matches[targets]]
    targets = targets[ok]
    if not len(targets):
        return _smooth(level)
    if distance is None:
        weight = torch.ones(len(targets))
    else:
        distance = distance[ok]
        weight = torch.exp(-SHARPNESS * distance / distance.quantile(0.75).clamp_min(1e-6))
        weight += 1e-6
    flat = level.image[0].flatten(1)
    total = torch.zeros(4, height * width)
    y, x, best = targets // width, targets % width, matches[targets]
    for down in range(-_RADIUS, _RADIUS + 1):
        for right in range(-_RADIUS, _RADIUS + 1):
            inside = (y + down >= 0) & (y + down < height)
            inside &= (x + right >= 0) & (x + right < width)
            to = (targets + down * width + right)[inside]
            own = weight[inside]
            total[:3].index_add_(1, to, flat[:, (best + down * width + right)[inside]] * own)
            total[3].index_add_(0, to, own)
    voted = (total[:3] / total[3].clamp_min(1e-12)).view(1, 3, height, width)
    reached = (total[3].view(height, width) > 0) & level.hole
    return torch.where(reached, voted, _smooth(level))


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
