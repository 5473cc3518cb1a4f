"""Kullback-Leibler divergence of the groups' shares from independence."""

from __future__ import annotations

import numpy as np

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure


def statistic(given: np.ndarray) -> np.ndarray:
    return tables.divergences(given, tables.independent(given))["kl"]


MEASURES.register(
    Measure(
        name="kl_independent",
        rank=30,
        words="KL divergence from independence (nats)",
        description="Kullback-Leibler divergence of the groups' shares from independence, nats",
        statistic=statistic,
        rises=True,
    )
)
