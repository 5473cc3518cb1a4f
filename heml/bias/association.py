"""Association of the label with an attribute: every measure of a label × attribute table, in rows.
Association of the label with an attribute: every measure of a label × attribute table, in rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency
from sklearn.metrics import adjusted_mutual_info_score

from heml.bias import tables
from heml.bias.attributes import Attribute, Contingency, contingency
from heml.bias.fdr import controlled


def association(
    train: pd.DataFrame,
    attributes: Sequence[Attribute],
    resamples: int,
    permutations: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every measure of association and distribution of each attribute.

    Intervals are 95% percentile bootstraps over records, p-values come from shuffling the attribute
    among the records (or, for the distance to equal shares, from drawing equal shares), q-values
    are Benjamini-Hochberg's over all rows of a measure.

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
        v = own[0]
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
    return 1.0 if min(table.shape) < 2 else float(chi2_contingency(table).pvalue)


def _measures(
    counts: Contingency, resamples: int, permutations: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    table = counts.table
    if counts.n == 0:
        # One row says that there is nothing, rather than twenty.
        yield _row("cramers_v", note=counts.note())
        return
    draws = tables.resampled_tables(table, resamples, rng)
    null = tables.permuted_tables(table, permutations, rng)
    comparable = min(table.shape) > 1
    note = "" if comparable else counts.note()

    def tested(name: str, value: np.ndarray, drawn: np.ndarray, under: np.ndarray | None) -> dict:
        p = None if under is None or not comparable else float(tables.p_value(value, under))
        return _row(name, value, drawn, p, note=note)

    for name, statistic in (
        ("cramers_v", tables.cramers_v),
        ("normalized_mutual_information", tables.normalized_mutual_information),
        ("adjusted_mutual_information", _Adjusted(table, null)),
    ):
        yield tested(name, statistic(table), statistic(draws), statistic(null))
    for which, target in (("independent", tables.independent), ("equal", tables.equal)):
        # Shuffling keeps margins, so it says nothing of equal shares: those are drawn.
        under = null if which == "independent" else tables.resampled_tables(
            np.full(table.shape, counts.n / table.size), permutations, rng
        )  # fmt: skip
        value = tables.divergences(table, target(table))
        drawn = tables.divergences(draws, target(draws))
        expected = tables.divergences(under, target(under))
        for name in value:
            yield {
                **tested(f"{name}_{which}", value[name], drawn[name], None),
                "p": float(tables.p_value(value[name], expected[name])),
            }
    yield from _of_values(counts, draws)
    yield from _of_groups(counts, draws, null)


class _Adjusted:
    """Mutual information above what chance gives, as scikit-learn's, in [-1, 1].

    For many tables the expected information is that of the shuffled ones.
    """

    def __init__(self, table: np.ndarray, null: np.ndarray) -> None:
        self._table = table
        self._expected = float(tables.mutual_information(null).mean())

    def __call__(self, given: np.ndarray) -> np.ndarray:
        if given.ndim == 2:
            rows, columns = np.indices(given.shape)
            labels = (np.repeat(codes.ravel(), given.ravel()) for codes in (rows, columns))
            return np.asarray(adjusted_mutual_info_score(*labels))
        most = sum(tables.entropies(given)) / 2 - self._expected
        above = tables.mutual_information(given) - self._expected
        ratio = np.divide(above, most, where=most > 1e-12, out=np.zeros_like(above))
        return np.clip(ratio, -1, 1)


def _of_values(counts: Contingency, draws: np.ndarray) -> Iterator[dict[str, Any]]:
    value, drawn = tables.class_imbalance(counts.table), tables.class_imbalance(draws)
    for place, name in enumerate(counts.values):
        yield {
            **_row("class_imbalance", value[place], drawn[:, place]),
            "attribute_value": name,
        }


def _of_groups(
    counts: Contingency, draws: np.ndarray, null: np.ndarray
) -> Iterator[dict[str, Any]]:
    table = counts.table
    expected = tables.independent(table) * counts.n
    # Margins stay as they are, so a group's count is as extreme as any measure made of it.
    p = tables.p_value(np.abs(table - expected), np.abs(null - expected))
    for name, statistic in (
        ("npmi", tables.pointwise),
        ("label_difference", tables.label_differences),
    ):
        value, drawn = statistic(table), statistic(draws)
        for i, label in enumerate(counts.labels):
            for j, attribute_value in enumerate(counts.values):
                alone = min(table.shape) < 2
                undefined = bool(np.isnan(value[i, j]))
                yield {
                    **_row(
                        name,
                        None if undefined else value[i, j],
                        drawn[:, i, j],
                        None if alone or undefined else float(p[i, j]),
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
