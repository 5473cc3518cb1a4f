"""Selecting by masks, fast.

On a CPU `torch.where` with a mask that is broadcast takes six times as long as an interpolation by
0 and 1, which gives the same to the last bit, and a bool tensor converts to float far slower than
its bytes do.
"""

from __future__ import annotations

import torch
from torch import Tensor


def weights(mask: Tensor) -> Tensor:
    """A bool mask as float32: 1 where it is set, 0 elsewhere."""
    return mask.view(torch.uint8).float()


def where(mask: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """`inside` where a mask is set, `outside` elsewhere.

    Parameters
    ----------
    mask : Tensor, bool
    inside, outside : Tensor
        Finite floats, or integers of one type; of shapes that broadcast with the mask's.
    """
    if inside.is_floating_point():
        return torch.lerp(outside, inside, weights(mask).to(outside.dtype))
    return (inside - outside).mul_(mask.view(torch.uint8)).add_(outside)
