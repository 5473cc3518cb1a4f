"""Settings of the bias measures."""

from __future__ import annotations

from pydantic import Field

from heml.parts.settings import Settings


class BiasSettings(Settings):
    """How bias is measured, and how attributes are found where no column gives them."""

    resamples: int = Field(
        1000,
        ge=50,
        description="Bootstrap resamples of every interval; an interval that inverts tests draws a "
        "quarter as many for each of some forty strengths of association.",
    )
    permutations: int = Field(1000, ge=50, description="Shuffles of every permutation test.")
    max_clusters: int = Field(
        5, ge=2, le=20, description="Most values of a discovered attribute, tried from 2 on."
    )
    seed: int = Field(0, ge=0)
