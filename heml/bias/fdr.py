"""False-discovery control over the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from statsmodels.stats.multitest import multipletests


def controlled(rows: pd.DataFrame, families: Sequence[str] = (), column: str = "p") -> pd.Series:
    """q-values after Benjamini and Hochberg (J. R. Stat. Soc. B 57, 1995).

    Parameters
    ----------
    families : sequence of str
        Columns whose values tell tests apart that are controlled on their own; none: all together.
    column : str
        The p-values; missing ones are no tests.

    Returns
    -------
    Series of float
        Missing where the p-value is.
    """
    p = pd.to_numeric(rows[column])
    q = pd.Series(float("nan"), index=rows.index, dtype=float)
    parts = [rows.index] if not families else [
        own.index for _, own in rows.groupby(list(families), sort=False)
    ]  # fmt: skip
    for part in parts:
        tested = p.loc[part].dropna()
        if len(tested):
            q.loc[tested.index] = multipletests(tested, method="fdr_bh")[1]
    return q
