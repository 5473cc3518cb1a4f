"""Normalized pointwise mutual information (Bouma, GSCL 2009)."""

from __future__ import annotations

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure
from heml.bias.signed_interval import npmi_interval

MEASURES.register(
    Measure(
        name="npmi",
        rank=100,
        words="nPMI of",
        description="normalized pointwise mutual information of label and attribute value, -1 to 1",
        statistic=tables.pointwise,
        of="group",
        interval=npmi_interval,
    )
)
