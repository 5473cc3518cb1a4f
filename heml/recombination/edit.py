"""An edit: what is to be recombined, with its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from heml.recombination.imaging.segmented_image import SegmentedImage


@dataclass(frozen=True)
class Edit:
    """What is to be recombined.

    Parameters
    ----------
    operator : str
        Name of a registered operator.
    host, donor : SegmentedImage
    nodes : sequence of str
        Leaves that are exchanged. What a removal uncovers is taken from the donor, as far as it
        shows something else there.
    protected : sequence of str
        Leaves of the host that nothing may cover.
    recolored : sequence of str
        Leaves of the host that get the donor's colors too. Protected ones that are not among them
        only stand in another light.
    tints : mapping of str to float array (3,)
        Leaves of `recolored` whose mean changes by this much in LAB instead.
    """

    operator: str
    host: SegmentedImage
    donor: SegmentedImage
    nodes: Sequence[str]
    protected: Sequence[str] = ()
    recolored: Sequence[str] = ()
    tints: Mapping[str, np.ndarray] = field(default_factory=dict)
