"""Total variation distance of the groups' shares to independence."""

from __future__ import annotations

import numpy as np

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure


def statistic(given: np.ndarray) -> np.ndarray:
    return tables.divergences(given, tables.independent(given))["tv"]


MEASURES.register(
    Measure(
        name="tv_independent",
        rank=50,
        words="Total variation to independence",
        description="total variation distance of the groups' shares to independence, 0 to 1",
        statistic=statistic,
        rises=True,
    )
)
