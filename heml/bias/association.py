"""Association of the label with a group attribute."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency


def cramers_v(table: np.ndarray) -> float:
    """Bias-corrected Cramér's V (Bergsma, J. Korean Stat. Soc. 42, 2013).

    Parameters
    ----------
    table : int array (R, C)
        Counts.

    Returns
    -------
    float
        In [0, 1]; 0 for independence and for tables with a single row or column.
    """
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    rows, columns = table.shape
    n = table.sum()
    if min(rows, columns) < 2 or n < 2:
        return 0.0
    chi2 = chi2_contingency(table, correction=False).statistic
    phi2 = max(chi2 / n - (rows - 1) * (columns - 1) / (n - 1), 0)
    corrected_rows = rows - (rows - 1) ** 2 / (n - 1)
    corrected_columns = columns - (columns - 1) ** 2 / (n - 1)
    most = min(corrected_rows, corrected_columns) - 1
    return float(min(np.sqrt(phi2 / most), 1.0)) if most > 0 else 0.0


def association(train: pd.DataFrame, groups: list[str], resamples: int, seed: int) -> pd.DataFrame:
    """Cramér's V of the label with every group, with a 95% percentile bootstrap interval.

    Parameters
    ----------
    train : DataFrame
        Columns label and the groups.
    resamples : int
        Bootstrap resamples (multinomial over the table's cells).
    seed : int

    Returns
    -------
    DataFrame
        As the `association` contract says.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for group in groups:
        table = pd.crosstab(train["label"], train[group]).to_numpy()
        n = int(table.sum())
        draws = rng.multinomial(n, (table / n).ravel(), size=resamples)
        values = [cramers_v(draw.reshape(table.shape)) for draw in draws]
        low, high = np.quantile(values, [0.025, 0.975])
        single = min(table.shape) < 2
        rows.append(
            {
                "group": group,
                "n": n,
                "cramers_v": cramers_v(table),
                "cramers_v_low": float(low),
                "cramers_v_high": float(high),
                "p_value": 1.0 if single else float(chi2_contingency(table).pvalue),
            }
        )
    return pd.DataFrame(rows)
