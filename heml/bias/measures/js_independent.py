"""Jensen-Shannon divergence of the groups' shares from independence."""

from __future__ import annotations

import numpy as np

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure


def statistic(given: np.ndarray) -> np.ndarray:
    return tables.divergences(given, tables.independent(given))["js"]


MEASURES.register(
    Measure(
        name="js_independent",
        rank=40,
        words="JS divergence from independence (nats)",
        description="Jensen-Shannon divergence of the groups' shares from independence, "
        "nats, at most ln 2",
        statistic=statistic,
        rises=True,
    )
)
