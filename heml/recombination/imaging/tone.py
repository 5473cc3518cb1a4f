"""Bounds of color transfer: a photograph stays one.

Reinhard's transfer (IEEE CG&A 2001) gives a segment another one's mean and deviation whatever they
are: a flat segment beside a lively one becomes posterized, a bright one clips. So contrast changes
within narrow bounds, and what only accompanies an attribute is shifted little.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Contrast is stretched or squeezed by at most this factor, in L, a and b.
MAX_CONTRAST = (1.35, 1.25, 1.25)
#: The same of a segment that only accompanies the attribute: harsh skin shows at once.
ACCOMPANYING_CONTRAST = (1.2, 1.15, 1.15)
#: Contrast of lightness may change by as much more as the lightness itself, up to this factor: the
#: same hair in more light has more contrast as well.
MOST_EXPOSURE = 2.0
#: Largest shift of the mean of a segment that only accompanies the attribute, in LAB units: skin
#: stays skin.
MOST_SHIFT = (18.0, 8.0, 8.0)
#: Lightness that a segment's mean may reach, with this many deviations to spare on either side:
#: beyond, its lights or shadows would clip.
LIGHTNESS, SPARE = (4.0, 96.0), 1.0


def bounded_tone(own: Tensor, wanted: Tensor, accompanies: Tensor) -> tuple[Tensor, Tensor]:
    """Contrast and shift that bring a segment's colors toward others, within bounds.

    Parameters
    ----------
    own, wanted : Tensor, shape (..., 2, 3)
        Mean and standard deviation in LAB, of the segment and as they should be.
    accompanies : bool Tensor, shape (...)
        Segments that do not carry the attribute themselves.

    Returns
    -------
    contrast, shift : Tensor, shape (..., 3)
        A pixel becomes `contrast * lab + shift`.
    """
    follows = accompanies[..., None]
    most = torch.where(follows, own.new_tensor(ACCOMPANYING_CONTRAST), own.new_tensor(MAX_CONTRAST))
    deviation = own[..., 1, :].clamp_min(1)
    bound = own.new_tensor(MOST_SHIFT)
    change = wanted[..., 0, :] - own[..., 0, :]
    change = torch.where(follows, change.clamp(-bound, bound), change)
    exposure = torch.ones_like(deviation)
    own_lightness = own[..., 0, 0]
    lightness = (own_lightness + change[..., 0]).clamp_min(1) / own_lightness.clamp_min(1)
    exposure[..., 0] = lightness.clamp(1 / MOST_EXPOSURE, MOST_EXPOSURE)
    exposure = torch.where(follows, torch.ones_like(exposure), exposure)
    lowest, highest = exposure.clamp(max=1) / most, exposure.clamp(min=1) * most
    contrast = torch.minimum(torch.maximum(wanted[..., 1, :] / deviation, lowest), highest)
    reach = SPARE * contrast[..., 0] * own[..., 1, 0]
    darkest, lightest = LIGHTNESS[0] + reach, LIGHTNESS[1] - reach
    middle = (darkest + lightest) / 2
    mean = own[..., 0, :] + change
    mean[..., 0] = mean[..., 0].clamp(
        torch.minimum(darkest, middle), torch.maximum(lightest, middle)
    )
    return contrast, mean - contrast * own[..., 0, :]
