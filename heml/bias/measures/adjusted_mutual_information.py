"""Mutual information above what chance gives (Vinh, Epps & Bailey, JMLR 11, 2010)."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from heml.bias import tables
from heml.bias.measure import MEASURES, Measure


def of_tables(given: np.ndarray) -> np.ndarray:
    """Scikit-learn's, of one table after the other; tables without records have none."""
    flat = given.reshape(-1, *given.shape[-2:])
    return np.array([_of_table(table) for table in flat]).reshape(given.shape[:-2])


def _of_table(table: np.ndarray) -> float:
    rows, columns = np.indices(table.shape)
    labels = (np.repeat(codes.ravel(), table.ravel()) for codes in (rows, columns))
    return float(adjusted_mutual_info_score(*labels))


class Adjusted:
    """The same for many tables at a time: the expected information is that of the shuffled ones."""

    def __init__(self, table: np.ndarray, null: np.ndarray) -> None:
        self._expected = float(tables.mutual_information(null).mean())

    def __call__(self, given: np.ndarray) -> np.ndarray:
        if given.ndim == 2:
            return of_tables(given)
        most = sum(tables.entropies(given)) / 2 - self._expected
        above = tables.mutual_information(given) - self._expected
        ratio = np.divide(above, most, where=most > 1e-12, out=np.zeros_like(above))
        return np.clip(ratio, -1, 1)


MEASURES.register(
    Measure(
        name="adjusted_mutual_information",
        rank=20,
        words="Adjusted mutual information",
        description="normalized mutual information above what chance gives, at most 1",
        statistic=of_tables,
        adjusted=Adjusted,
        rises=True,
        population=tables.normalized_mutual_information,
    )
)
