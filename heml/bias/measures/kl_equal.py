"""Kullback-Leibler divergence of the groups' shares from equal shares."""

from __future__ import annotations

import numpy as np

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure


def statistic(given: np.ndarray) -> np.ndarray:
    return tables.divergences(given, tables.equal(given))["kl"]


MEASURES.register(
    Measure(
        name="kl_equal",
        rank=60,
        words="KL divergence from equal groups (nats)",
        description="Kullback-Leibler divergence of the groups' shares from equal shares, nats",
        statistic=statistic,
        null="equal",
        rises=True,
    )
)
