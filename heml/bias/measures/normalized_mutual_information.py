"""Mutual information over the mean of both entropies."""

from __future__ import annotations

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure

MEASURES.register(
    Measure(
        name="normalized_mutual_information",
        rank=10,
        words="Normalized mutual information",
        description="mutual information over the mean of both entropies, 0 to 1",
        statistic=tables.normalized_mutual_information,
        rises=True,
    )
)
