"""Total variation distance of the groups' shares to equal shares."""

from __future__ import annotations

import numpy as np

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure


def statistic(given: np.ndarray) -> np.ndarray:
    return tables.divergences(given, tables.equal(given))["tv"]


MEASURES.register(
    Measure(
        name="tv_equal",
        rank=80,
        words="Total variation to equal groups",
        description="total variation distance of the groups' shares to equal shares, 0 to 1",
        statistic=statistic,
        null="equal",
        rises=True,
    )
)
