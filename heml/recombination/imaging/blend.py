"""Putting one image's pixels into another without a visible seam."""

from __future__ import annotations

import torch
from torch import Tensor

from heml.recombination.imaging.fill import fill_holes
from heml.recombination.imaging.pyramid import blur, downsample2x, upsample2x

#: Share of the lighting difference around a moved segment that is taken out of it, in L, a and b.
#: All of its color would be too much: a tanned face would tint teeth.
LIGHT_MATCH = (0.9, 0.6, 0.6)
#: Largest such correction in LAB units: beyond it, it would change what the segment is.
MAX_LIGHT = (25.0, 7.0, 7.0)
#: Reach of what is known of the light, as standard deviation in pixels of the smaller image, and
#: how sharply it ends.
LIGHT_REACH, LIGHT_END = 5.0, 3.0


def laplacian_blend(
    base: Tensor, top: Tensor, narrow: Tensor, wide: Tensor, alike: Tensor
) -> Tensor:
    """Multiresolution spline (Burt & Adelson, ACM ToG 1983) of two bands where both show the same.

    Details change over within a few pixels, shading over more, as Brown & Lowe (IJCV 2007) do.
    Where an edge lies between the two, shading would pass over it as a halo: there `top` lies
    before `base` as its opacity says.

    Parameters
    ----------
    base, top : Tensor, shape (B, 3, H, W), in [0, 1], H and W even
    narrow : Tensor, shape (B, 1, H, W), in [0, 1]
        Where details of `top` show.
    wide : Tensor, shape (B, 1, H / 2, W / 2), in [0, 1]
        Where its shading does.
    alike : Tensor, shape (B, 1, H, W), in [0, 1]
        1 where shading may pass from one to the other.

    Returns
    -------
    Tensor, shape (B, 3, H, W), in [0, 1]
        `base` exactly where both are 0 within two pixels.
    """
    # What neither shows in the end says nothing of the shading.
    difference = (top - base).mul_(torch.maximum(alike, narrow.ceil()))
    # The pyramid is linear, so the bands of the difference are weighted:
    # (difference - low) * narrow + low * wide.
    low = upsample2x(downsample2x(difference))
    low *= (upsample2x(wide) - narrow).mul_(alike)
    return difference.mul_(narrow).add_(low).add_(base).clamp_(0, 1)


def lighting_field(base: Tensor, top: Tensor, comparable: Tensor) -> Tensor:
    """LAB difference of two images, extended smoothly from where they show the same class.

    A membrane in the sense of Farbman et al. ("Coordinates for instant image cloning", SIGGRAPH
    2009): what closes the seam at the border fades over the inside.

    Parameters
    ----------
    base, top : Tensor, shape (B, 3, H, W)
        In LAB.
    comparable : Tensor, shape (B, 1, H, W), float
        1 where both show the same class.

    Returns
    -------
    Tensor, shape (B, 3, H, W)
        What to add to `top`; 0 for images that nowhere show the same.
    """
    return blur(fill_holes(base - top, comparable), 1.0)


#: A donor's contrast is stretched or squeezed toward the host's by at most this factor.
MATCHED_CONTRAST = 1.3


def match_contrast(base: Tensor, top: Tensor, comparable: Tensor) -> Tensor:
    """`top` with the contrast of lightness that `base` has where they show the same thing.

    Harsh light on one and soft light on the other differ in more than level.

    Parameters
    ----------
    base, top : Tensor, shape (B, 3, H, W)
        In LAB.
    comparable : Tensor, shape (B, 1, H, W), float
        1 where both show the same class.

    Returns
    -------
    Tensor, shape (B, 3, H, W)
    """
    count = comparable.flatten(1).sum(1).clamp_min(1)

    def mean(values: Tensor) -> Tensor:
        return ((values * comparable).flatten(2).sum(2) / count[:, None])[..., None, None]

    def deviation(values: Tensor) -> Tensor:
        # The noise of a flat region does not count as contrast.
        return (mean(values[:, :1].square()) - mean(values[:, :1]).square()).clamp_min(4).sqrt()

    ratio = (deviation(base) / deviation(top)).clamp(1 / MATCHED_CONTRAST, MATCHED_CONTRAST)
    middle = mean(top[:, :1])
    lightness = middle + (top[:, :1] - middle) * torch.where(
        count[:, None, None, None] > 1, ratio, 1
    )
    return torch.cat([lightness, top[:, 1:]], dim=1)


def light_is_known(comparable: Tensor) -> Tensor:
    """How far a place is known to be in the same light as what is comparable: 1 beside it, fading
    with the distance; float (B, 1, H, W).

    The light on a cheek says that of a mouth. That on a neck and some hair does not say that of a
    whole face.
    """
    return blur(comparable, LIGHT_REACH).mul_(LIGHT_END).clamp_max_(1)


def limited(field: Tensor) -> Tensor:
    """The part of a lighting field (B, 3, H, W) that a moved segment takes."""
    share = torch.tensor(LIGHT_MATCH, device=field.device).view(1, 3, 1, 1)
    most = torch.tensor(MAX_LIGHT, device=field.device).view(1, 3, 1, 1)
    return (field * share).clamp(-most, most)


def unlike_own(apart: Tensor, deviation: Tensor) -> Tensor:
    """How badly pixels fit their segment's colors: 1 at three times the standard deviation.

    Parameters
    ----------
    apart : Tensor, shape (B, 3, H, W)
        LAB less the segment's mean.
    deviation : Tensor, shape (B, 3, H, W) or (B, 3, 1, 1)
        Of the segment.

    Returns
    -------
    Tensor, shape (B, 1, H, W)
    """
    unlike = (apart / deviation.clamp_min(5)).square_().sum(1, keepdim=True).div_(3)
    return (unlike / 9).square_()
