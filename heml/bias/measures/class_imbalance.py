"""Class imbalance of an attribute value (Amazon SageMaker Clarify's CI)."""

from __future__ import annotations

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure
from heml.bias.signed_interval import class_imbalance_interval

MEASURES.register(
    Measure(
        name="class_imbalance",
        rank=90,
        words="Class imbalance of",
        description="records of other attribute values less those of this one, over all, -1 to 1",
        statistic=tables.class_imbalance,
        of="value",
        null="none",
        interval=class_imbalance_interval,
    )
)
