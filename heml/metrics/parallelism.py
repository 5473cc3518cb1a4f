"""How many networks of a level train side by side."""

from __future__ import annotations

import torch

from heml.compute.device import threads_on
from heml.metrics.metric_settings import MetricSettings

#: Pixels per image that the networks of a level together may hold in memory while they train. One
#: network on whole images of 224 px, as metrics are trained elsewhere, holds 50 176; a level stays
#: below a third of that, however many processors there are.
_PIXELS = 14_000
#: What a network holds besides, counted in such pixels: weights, optimizer, triplets.
_FIXED = 400


def networks_at_once(side: int, settings: MetricSettings, device: torch.device) -> int:
    """How many networks train side by side, if there are as many processors.

    Parameters
    ----------
    side : int
        Of the largest views of the level, in pixels.
    """
    most = threads_on(device)
    return most or settings.parallel or max(_PIXELS // (side * side + _FIXED), 1)
