"""Putting one image's pixels into another without a visible seam."""

from __future__ import annotations

import math

from kornia.color import lab_to_rgb, rgb_to_lab
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import build_laplacian_pyramid, pyrup
from torch import Tensor
from torch.nn.functional import interpolate, pad

#: Most levels of the Laplacian pyramid: details blend over few pixels, shading over many.
LEVELS = 4
#: Width in pixels of a segment below which the coarsest level would wash its colour out.
PIXELS_PER_LEVEL = 8
#: Contrast of a segment is stretched or squeezed by at most this factor.
MAX_CONTRAST = 1.6


def feather(mask: Tensor, sigma: float) -> Tensor:
    """Soft edge of a mask.

    Parameters
    ----------
    mask : Tensor, shape (B, 1, H, W), in [0, 1]
    sigma : float
        Standard deviation in pixels.
    """
    size = 2 * int(3 * sigma + 0.5) + 1
    return gaussian_blur2d(mask, (size, size), (sigma, sigma))


def levels_for(area: float) -> int:
    """Pyramid levels that suit a segment of some pixels: small ones keep their own colour."""
    return int(min(max(math.log2(max(area, 1) ** 0.5 / PIXELS_PER_LEVEL) + 1, 1), LEVELS))


def laplacian_blend(base: Tensor, top: Tensor, alpha: Tensor, levels: int = LEVELS) -> Tensor:
    """Multiresolution spline (Burt & Adelson, ACM ToG 1983).

    Parameters
    ----------
    base, top : Tensor, shape (B, 3, H, W), in [0, 1]
    alpha : Tensor, shape (B, 1, H, W), in [0, 1]
        1 where `top` shows.
    levels : int
        1 mixes pixel by pixel; each further level blends shading over twice the width.

    Returns
    -------
    Tensor, shape (B, 3, H, W), in [0, 1]
    """
    if levels == 1:
        return base * (1 - alpha) + top * alpha
    height, width = base.shape[-2:]
    step = 2**levels
    padding = (0, -width % step, 0, -height % step)
    base, top, alpha = (pad(t, padding, mode="replicate") for t in (base, top, alpha))
    low = build_laplacian_pyramid(base, levels)
    high = build_laplacian_pyramid(top, levels)
    blended = None
    for level in reversed(range(levels)):
        share = interpolate(alpha, low[level].shape[-2:], mode="area")
        mixed = low[level] * (1 - share) + high[level] * share
        blended = mixed if blended is None else pyrup(blended) + mixed
    assert blended is not None
    return blended[..., :height, :width].clamp(0, 1)


def lab_statistics(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the LAB values of an image's masked pixels.

    Parameters
    ----------
    image : Tensor, shape (1, 3, H, W), RGB in [0, 1]
    mask : Tensor, shape (1, 1, H, W)
        Above 0.5 where pixels count; at least one does.

    Returns
    -------
    mean, deviation : Tensor, shape (1, 3, 1, 1)
    """
    pixels = rgb_to_lab(image[:, :, mask[0, 0] > 0.5][..., None])
    return pixels.mean(dim=(2, 3), keepdim=True), pixels.std(
        dim=(2, 3), keepdim=True, unbiased=False
    )


def transfer_tone(image: Tensor, inside: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Gives a segment the colour statistics of another (Reinhard et al., IEEE CG&A 2001, in LAB).

    Parameters
    ----------
    image : Tensor, shape (1, 3, H, W), RGB in [0, 1]
        Its pixels inside `inside` are measured; all are mapped.
    inside : Tensor, shape (1, 1, H, W)
    reference : Tensor, shape (1, 3, h, w)
    mask : Tensor, shape (1, 1, h, w)
        Pixels of the reference that are measured.

    Returns
    -------
    Tensor, shape (1, 3, H, W), RGB in [0, 1]
    """
    mean, deviation = lab_statistics(image, inside)
    wanted_mean, wanted_deviation = lab_statistics(reference, mask)
    contrast = (wanted_deviation / deviation.clamp_min(1)).clamp(1 / MAX_CONTRAST, MAX_CONTRAST)
    return lab_to_rgb((rgb_to_lab(image) - mean) * contrast + wanted_mean).clamp(0, 1)


def shift_colour(image: Tensor, amount: Tensor) -> Tensor:
    """Adds to every pixel's LAB values.

    Parameters
    ----------
    image : Tensor, shape (B, 3, H, W), RGB in [0, 1]
    amount : Tensor, shape (B, 3, 1, 1), in LAB units (L from 0 to 100)
    """
    return lab_to_rgb(rgb_to_lab(image) + amount).clamp(0, 1)
