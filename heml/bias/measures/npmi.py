"""Normalized pointwise mutual information (Bouma, GSCL 2009)."""

from __future__ import annotations

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure

MEASURES.register(
    Measure(
        name="npmi",
        rank=100,
        words="nPMI of",
        description="normalized pointwise mutual information of label and attribute value, -1 to 1",
        statistic=tables.pointwise,
        of="group",
    )
)
