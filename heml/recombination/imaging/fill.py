"""Filling holes from their surroundings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from heml.recombination.imaging.masked import weights, where
from heml.recombination.imaging.pyramid import downsample2x, erode, quarter_mask, upsample2x


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
        return values * known
    trusted, weight = values * known, known
    if height % 2 or width % 2:
        to_even = (0, width % 2, 0, height % 2)
        trusted, weight = pad(trusted, to_even), pad(weight, to_even)
    weight = downsample2x(weight)
    coarse = fill_holes(downsample2x(trusted).div_(weight.clamp_min(1e-6)), weight.ceil_())
    return torch.lerp(upsample2x(coarse)[..., :height, :width], values, known)


#: Distance from a hole at which its texture is taken, in pixels.
_SHIFTS = (6, 12, 24, 48, 96)
#: Width of a known region's edge whose texture is not taken: its shading is uncertain there.
_EDGE = 4


def fill_scenery(
    image: Tensor, known: Tensor, textured: Tensor, holes: Tensor | None = None
) -> Tensor:
    """Fills what is behind a foreground: shading from all around, fine texture from beside.

    Parameters
    ----------
    image : Tensor, shape (B, 3, H, W), in [0, 1], H and W divisible by 4
    known : Tensor, shape (B, 1, H, W), bool
        Pixels of the scenery.
    textured : Tensor, shape (B, 1, 1, 1), bool
        Images whose holes get texture; the others' are filled smoothly.
    holes : Tensor, shape (B, 1, H, W), bool, optional
        Unknown pixels that are to be filled. By default all.

    Returns
    -------
    Tensor, shape (B, 3, H, W), in [0, 1]
        All other pixels unchanged.
    """
    weight = quarter_mask(known)
    mean = downsample2x(downsample2x(image * weights(known))) / weight.clamp_min(1e-6)
    shading = upsample2x(upsample2x(fill_holes(mean, weights(weight > 0.25))))
    wanted = ~known if holes is None else holes & ~known
    result = where(wanted, shading, image)
    if not bool(textured.any()):
        # Most small segments have no scenery behind them.
        return result
    places, sources = _nearest_texture(erode(known, _EDGE), wanted & textured)
    if len(places):
        # Of each pixel the three channels: flat places count pixels of all images.
        pixels = known.shape[-2] * known.shape[-1]
        at = places + 2 * pixels * (places // pixels)
        there = sources + 2 * pixels * (sources // pixels)
        flat, given, smooth = result.view(-1), image.view(-1), shading.view(-1)
        for channel in range(3):
            here, from_ = at + channel * pixels, there + channel * pixels
            grain = given.index_select(0, from_) - smooth.index_select(0, from_)
            flat.scatter_(0, here, smooth.index_select(0, here).add_(grain).clamp_(0, 1))
    return result


def _nearest_texture(source: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels that get texture, and from where: the nearest on any side, in steps.

    Parameters
    ----------
    source, wanted : bool (B, 1, H, W)

    Returns
    -------
    places, sources : int (M,)
        Flat places in the batch of planes.
    """
    height, width = source.shape[-2:]
    steps = [(0, 0)] + [
        step
        for shift in _SHIFTS
        if shift < max(height, width)
        for step in ((0, shift), (0, -shift), (shift, 0), (-shift, 0))
    ]
    reach = max(map(max, steps))
    # A border without texture, so that every shift is a view.
    given = pad(source, (reach,) * 4)
    chosen = torch.zeros(wanted.shape, dtype=torch.uint8, device=wanted.device)
    left = wanted.clone()
    for number, (down, right) in enumerate(steps[1:], start=1):
        top, start = reach + down, reach + right
        take = left & given[..., top : top + height, start : start + width]
        chosen.add_(take.view(torch.uint8), alpha=number)
        left ^= take
    places = chosen.view(-1).nonzero()[:, 0]
    offsets = torch.tensor([down * width + right for down, right in steps], device=places.device)
    return places, places + offsets[chosen.view(-1)[places].long()]
