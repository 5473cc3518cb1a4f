"""Bias measures: numbers of a label × attribute table, and which there are.

A measure that comes with HEML is a module of `heml.bias.measures`; another distribution gives one
by an entry point of the group `heml.measures`. Recipes choose none: all are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data_contracts.association import MEASURE_NAMES
from heml.parts.registry import Registry

#: From tables (..., R, C) of counts to the measure.
Statistic = Callable[[np.ndarray], np.ndarray]
#: From a table (R, C), tables to draw, and the random source to lower and upper ends.
Interval = Callable[[np.ndarray, int, np.random.Generator], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Measure:
    """One measure of coverage or association.

    Parameters
    ----------
    name : str
        In the table `bias_measures`.
    rank : int
        Place in tables, the lowest first.
    words : str
        What the report calls it; a value's or a group's name may follow.
    description : str
        One sentence, with unit, range and source.
    statistic : callable
        From tables of counts, int array (..., R, C), label values in rows and attribute values in
        columns, to float array (...) for `of` attribute, (..., C) for value, (..., R, C) for group;
        NaN where it is undefined.
    of : {'attribute', 'value', 'group'}
        What has a number.
    null : {'shuffled', 'equal', 'none'}
        What p-values come from: shuffling the attribute among the records, drawing equal shares, or
        nothing: the measure is no test. A group's p-value is that of its count.
    adjusted : callable, optional
        Gives the statistic from the observed table and the shuffled ones, where it needs them.
    rises : bool
        True for a measure of attributes that is smallest without association, as `null` has it, and
        rises with it: its interval inverts tests (`heml.bias.inverted_interval`).
    interval : callable, optional
        Of other measures: from the table, the number of tables to draw and the random source to the
        ends of the 95% intervals. Default: percentile bootstraps.
    population : callable, optional
        The measure for infinitely many records, from float tables, if it is not the statistic.
    """

    name: str
    rank: int
    words: str
    description: str
    statistic: Statistic
    of: Literal["attribute", "value", "group"] = "attribute"
    null: Literal["shuffled", "equal", "none"] = "shuffled"
    adjusted: Callable[[np.ndarray, np.ndarray], Statistic] | None = None
    rises: bool = False
    population: Statistic | None = None
    interval: Interval | None = None


MEASURES: Registry[Measure] = Registry("bias measure", "heml.bias.measures", "heml.measures")
MEASURE_NAMES.provided_by(MEASURES.names)
