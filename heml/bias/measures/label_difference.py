"""Difference in proportions of labels (Amazon SageMaker Clarify's DPL)."""

from __future__ import annotations

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure
from heml.bias.signed_interval import label_difference_interval

MEASURES.register(
    Measure(
        name="label_difference",
        rank=110,
        words="Difference in proportions of",
        description="share of the label in other attribute values less its share in this "
        "one, -1 to 1",
        statistic=tables.label_differences,
        of="group",
        interval=label_difference_interval,
    )
)
