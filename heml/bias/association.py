"""Every measure of the association of the label with an attribute, in rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

from heml.bias import tables
from heml.bias.attributes import Attribute, Contingency, contingency
from heml.bias.fdr import controlled
from heml.bias.inverted_interval import from_equal_shares, from_independence, inverted_intervals
from heml.bias.measure import MEASURES, Measure, Statistic


def association(
    train: pd.DataFrame,
    attributes: Sequence[Attribute],
    resamples: int,
    permutations: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every measure of association and distribution of each attribute.

    95% intervals of measures that rise with association invert tests, others are what the measure
    says (`Measure.interval`). p-values come from shuffling the attribute among the records (or, for
    the distance to equal shares, from drawing equal shares), q-values are Benjamini-Hochberg's over
    all rows of a measure.

    Parameters
    ----------
    train : DataFrame
        Columns label and those of the attributes.
    resamples, permutations : int
    seed : int

    Returns
    -------
    association, measures : DataFrame
        As the contracts of these names say.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    links: list[dict[str, Any]] = []
    for attribute in attributes:
        counts = contingency(train, attribute)
        own = list(_measures(counts, resamples, permutations, rng))
        shared = {"attribute": attribute.name, "attributes": list(attribute.columns), "n": counts.n}
        rows += [{**shared, **row} for row in own]
        v = next(row for row in own if row["measure"] == "cramers_v")
        links.append(
            {
                **shared,
                "cramers_v": v["value"],
                "cramers_v_low": v["low"],
                "cramers_v_high": v["high"],
                "p_value": _chi2(counts.table),
                "permutation_p": v["p"],
                "n_missing": counts.missing,
                "note": counts.note(),
            }
        )
    measures = pd.DataFrame(rows)
    measures["q"] = controlled(measures, ["measure"])
    linked = pd.DataFrame(links)
    q = measures.loc[measures["measure"] == "cramers_v", "q"].tolist()
    return linked.assign(permutation_q=q), measures


def _chi2(table: np.ndarray) -> float | None:
    if table.sum() == 0:
        return None
    # A label or a value without records has no expected counts.
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    return 1.0 if min(table.shape) < 2 else float(chi2_contingency(table).pvalue)


@dataclass
class _Draws:
    """Tables that intervals and p-values come from: resampled, shuffled, and of equal shares."""

    counts: Contingency
    permutations: int
    rng: np.random.Generator
    resampled: np.ndarray
    shuffled: np.ndarray

    @cached_property
    def equal(self) -> np.ndarray:
        table = self.counts.table
        shares = np.full(table.shape, self.counts.n / table.size)
        return tables.resampled_tables(shares, self.permutations, self.rng)


#: Tables that are drawn for each strength of association, as a share of the resamples: neighboring
#: strengths are judged together.
_DRAWS_PER_STRENGTH = 0.25


def _measures(
    counts: Contingency, resamples: int, permutations: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    if counts.n == 0:
        # One row says that there is nothing, rather than twenty.
        yield _row("cramers_v", note=counts.note())
        return
    draws = _Draws(
        counts,
        permutations,
        rng,
        tables.resampled_tables(counts.table, resamples, rng),
        tables.permuted_tables(counts.table, permutations, rng),
    )
    rows = {"attribute": _of_attribute, "value": _of_values, "group": _of_groups}
    statistics = {
        measure.name: measure.statistic
        if measure.adjusted is None
        else measure.adjusted(counts.table, draws.shuffled)
        for measure in MEASURES
    }
    per_strength = max(int(resamples * _DRAWS_PER_STRENGTH), 50)
    intervals = _inverted(counts, statistics, per_strength, rng)
    ends = {m.name: m.interval(counts.table, per_strength, rng) for m in MEASURES if m.interval}
    for kind, of_kind in rows.items():
        for measure in (m for m in MEASURES if m.of == kind):
            for row in of_kind(measure, statistics[measure.name], counts, draws):
                if row["value"] is not None and measure.name in ends:
                    row |= _ends(ends[measure.name], counts, row)
                if measure.name in intervals:
                    # An estimate that is too high may lie above the strengths that fit it.
                    low, high = intervals[measure.name]
                    row |= {"low": min(low, row["value"]), "high": max(high, row["value"])}
                yield row


def _ends(
    ends: tuple[np.ndarray, np.ndarray], counts: Contingency, row: Mapping[str, Any]
) -> dict[str, float]:
    """Ends of a row's own interval, which holds its estimate."""
    place = [counts.values.index(row["attribute_value"])]
    if row["label_value"] is not None:
        place.insert(0, counts.labels.index(row["label_value"]))
    low, high = (float(end[tuple(place)]) for end in ends)
    return {"low": min(low, row["value"]), "high": max(high, row["value"])}


def _inverted(
    counts: Contingency,
    statistics: Mapping[str, Statistic],
    draws: int,
    rng: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Intervals of the measures that rise with association."""
    found: dict[str, tuple[float, float]] = {}
    for null, path_of in (("shuffled", from_independence), ("equal", from_equal_shares)):
        chosen = {
            m.name: (statistics[m.name], m.population or m.statistic)
            for m in MEASURES
            if m.rises and m.of == "attribute" and m.null == null
        }
        found |= inverted_intervals(counts.table, path_of(counts.table), chosen, draws, rng)
    return found


def _of_attribute(
    measure: Measure, statistic: Statistic, counts: Contingency, draws: _Draws
) -> Iterator[dict[str, Any]]:
    comparable = min(counts.table.shape) > 1
    value = statistic(counts.table)
    p = None
    if measure.null == "equal":
        # Shuffling keeps margins, so it says nothing of equal shares: those are drawn.
        p = float(tables.p_value(value, statistic(draws.equal)))
    elif measure.null == "shuffled" and comparable:
        p = float(tables.p_value(value, statistic(draws.shuffled)))
    note = "" if comparable else counts.note()
    yield _row(measure.name, value, statistic(draws.resampled), p, note)


def _of_values(
    measure: Measure, statistic: Statistic, counts: Contingency, draws: _Draws
) -> Iterator[dict[str, Any]]:
    value, drawn = statistic(counts.table), statistic(draws.resampled)
    p = None
    if measure.null != "none":
        null = draws.equal if measure.null == "equal" else draws.shuffled
        p = tables.p_value(value, statistic(null))
    for place, name in enumerate(counts.values):
        own = None if p is None else float(p[place])
        yield {**_row(measure.name, value[place], drawn[:, place], own), "attribute_value": name}


def _of_groups(
    measure: Measure, statistic: Statistic, counts: Contingency, draws: _Draws
) -> Iterator[dict[str, Any]]:
    table = counts.table
    expected = tables.independent(table) * counts.n
    # Margins stay as they are, so a group's count is as extreme as any measure made of it.
    p = tables.p_value(np.abs(table - expected), np.abs(draws.shuffled - expected))
    value, drawn = statistic(table), statistic(draws.resampled)
    alone = min(table.shape) < 2
    for i, label in enumerate(counts.labels):
        for j, attribute_value in enumerate(counts.values):
            undefined = bool(np.isnan(value[i, j]))
            tested = measure.null != "none" and not (alone or undefined)
            yield {
                **_row(
                    measure.name,
                    None if undefined else value[i, j],
                    drawn[:, i, j],
                    float(p[i, j]) if tested else None,
                    note=counts.note() if alone or undefined else "",
                ),
                "label_value": label,
                "attribute_value": attribute_value,
            }


def _row(
    measure: str,
    value: np.ndarray | float | None = None,
    draws: np.ndarray | None = None,
    p: float | None = None,
    note: str = "",
) -> dict[str, Any]:
    row = {"measure": measure, "label_value": None, "attribute_value": None, "note": note, "p": p}
    if value is None or draws is None:
        return {**row, "value": None, "low": None, "high": None}
    low, high = tables.interval(draws, value)
    return {**row, "value": float(value), "low": float(low), "high": float(high)}
