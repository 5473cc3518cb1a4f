"""Jensen-Shannon divergence of the groups' shares from equal shares."""

from __future__ import annotations

import numpy as np

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure


def statistic(given: np.ndarray) -> np.ndarray:
    return tables.divergences(given, tables.equal(given))["js"]


MEASURES.register(
    Measure(
        name="js_equal",
        rank=70,
        words="JS divergence from equal groups (nats)",
        description="Jensen-Shannon divergence of the groups' shares from equal shares, "
        "nats, at most ln 2",
        statistic=statistic,
        null="equal",
        rises=True,
    )
)
