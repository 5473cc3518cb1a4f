"""Bias-corrected Cramér's V (Bergsma, J. Korean Stat. Soc. 42, 2013)."""

from __future__ import annotations

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure

MEASURES.register(
    Measure(
        name="cramers_v",
        rank=0,
        words="Cramér’s V, bias-corrected",
        description="bias-corrected Cramér's V of label and attribute, 0 to 1 (Bergsma 2013)",
        statistic=tables.cramers_v,
        rises=True,
    )
)
