"""Which attributes are measured, and what a table of label × attribute cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from heml.images.groups import MISSING, TIMES, combined


@dataclass(frozen=True)
class Attribute:
    """One attribute as it is measured: a column, or several taken together.

    Parameters
    ----------
    name : str
        The column's name, or several joined by ` × `.
    columns : tuple of str
    """

    name: str
    columns: tuple[str, ...]

    def values(self, frame: pd.DataFrame) -> np.ndarray:
        """Values of the records, object array (N,) of str; `MISSING` where not known."""
        return combined(frame, self.columns)


def measured_attributes(columns: Sequence[str]) -> list[Attribute]:
    """Every column, every two together, and all of them together."""
    sets: list[tuple[str, ...]] = [(column,) for column in columns]
    sets += list(combinations(columns, 2))
    if len(columns) > 2:
        sets.append(tuple(columns))
    return [Attribute(TIMES.join(chosen), tuple(chosen)) for chosen in sets]


@dataclass(frozen=True)
class Contingency:
    """Label × attribute counts of the records whose attribute is known.

    Parameters
    ----------
    table : int array (R, C)
    labels, values : list of str
        Of rows and columns, sorted.
    missing : int
        Records whose attribute value is not known.
    """

    table: np.ndarray
    labels: list[str]
    values: list[str]
    missing: int

    @property
    def n(self) -> int:
        return int(self.table.sum())

    def note(self) -> str:
        """What cannot be measured and why, in one line; empty if everything can."""
        if self.n == 0:
            return "no record has a value of this attribute: nothing can be measured"
        if len(self.labels) < 2:
            return f"all records have the label '{self.labels[0]}': nothing can be compared"
        if len(self.values) < 2:
            return f"all records have the value '{self.values[0]}': nothing can be compared"
        filled = self.table > 0
        if (filled.sum(axis=0) == 1).all():
            same = (filled.sum(axis=1) == 1).all()
            return (
                f"the attribute {'is' if same else 'determines'} the label itself: no label has "
                "records of "
                "two attribute values to compare"
                if same
                else "every attribute value comes with one label only: nothing can conflict"
            )
        single = [v for v, n in zip(self.values, self.table.sum(axis=0), strict=True) if n == 1]
        if single:
            return (
                "only one record has "
                + ", ".join(f"'{value}'" for value in single[:5])
                + (f" and {len(single) - 5} more values" if len(single) > 5 else "")
            )
        return ""


def contingency(train: pd.DataFrame, attribute: Attribute) -> Contingency:
    """The table of one attribute on the records given.

    Parameters
    ----------
    train : DataFrame
        Columns label and the attribute's.
    """
    values = attribute.values(train)
    known = values != MISSING
    labels = train["label"].to_numpy(str)
    rows, row_codes = np.unique(labels, return_inverse=True)
    columns, column_codes = np.unique(values[known].astype(str), return_inverse=True)
    table = np.zeros((len(rows), len(columns)), int)
    np.add.at(table, (row_codes[known], column_codes), 1)
    return Contingency(table, rows.tolist(), columns.tolist(), int((~known).sum()))
