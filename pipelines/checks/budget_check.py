"""Bias scores against the budget and against the previous measurement; quarantined rows.

Knows nothing of Dagster.
"""

from typing import Any

import pandas as pd

from heml.bias.history import read_history, score_changes
from heml.images.groups import TIMES
from heml.storage.store import Store
from pipelines.checks.limits import OverLimit, exceeded
from pipelines.recipe.operation_settings import BudgetSettings, Limits


def check_bias_budget(store: Store, budget: BudgetSettings) -> dict[str, float]:
    """Compares the highest leaf score of every attribute with its limits.

    Returns
    -------
    dict
        `score <attribute>`: the highest score of a leaf.

    Raises
    ------
    OverLimit
        One sentence for each attribute above a limit. An attribute that cannot be measured warns.
    """
    scores = pd.read_parquet(store.bias_scores)
    leaves = scores[scores["kind"] == "leaf"]
    counts: dict[str, float] = {}
    found: dict[str, list[str]] = {"error": [], "warn": []}
    for attribute, own in leaves.groupby("attribute", sort=True):
        limits = limits_of(str(attribute), budget)
        if limits == Limits():
            continue
        own = own.sort_values("rank")
        first = own.iloc[0]
        if pd.isna(first["score"]):
            found["warn"].append(f"no leaf could be scored for {attribute}: {first['note']}")
            continue
        counts[f"score {attribute}"] = float(first["score"])
        if level := exceeded(float(first["score"]), limits):
            found[level].append(_in_words(first, getattr(limits, level)))
    _refuse(found, counts, "see bias_scores in the report")
    return counts


def limits_of(attribute: str, budget: BudgetSettings) -> Limits:
    """Limits of one attribute: its own, those of all columns, none for columns taken together."""
    if attribute in budget.attributes:
        return budget.attributes[attribute]
    return Limits() if TIMES in attribute else budget.score


def _in_words(row: Any, limit: float) -> str:
    return (
        f"{row['node']} encodes {row['attribute']} and relies on it with score "
        f"{row['score']:.2f} (95% interval {row['score_low']:.2f} to {row['score_high']:.2f}, "
        f"n = {row['n']}, {row['n_conflicting']} conflicting), above the budget of {limit:g}"
    )


def check_bias_rise(store: Store, rise: Limits) -> dict[str, float]:
    """Compares every leaf's score for every single attribute with the measurement before.

    Returns
    -------
    dict
        `compared`: leaves and attributes; `largest_rise`.

    Raises
    ------
    OverLimit
        If a score rose by more than a limit. Without limits: if it rose so far that the two
        intervals have nothing in common.
    """
    changes = score_changes(read_history(store))
    changes = changes[(changes["kind"] == "leaf") & ~changes["attribute"].str.contains(TIMES)]
    changes = changes.dropna(subset=["change"]).sort_values("change", ascending=False)
    counts: dict[str, float] = {"compared": len(changes)}
    found: dict[str, list[str]] = {"error": [], "warn": []}
    if len(changes):
        counts["largest_rise"] = float(changes["change"].iloc[0])
    for row in changes.to_dict("records"):
        level = exceeded(row["change"], rise)
        if rise == Limits() and row["score_low"] > row["score_high_before"]:
            level = "warn"
        if level:
            since = "the same images" if row["same_images"] else "the images have changed since"
            found[level].append(
                f"{row['node']}'s score for {row['attribute']} rose from {row['score_before']:.2f} "
                f"({row['score_low_before']:.2f} to {row['score_high_before']:.2f}) to "
                f"{row['score']:.2f} ({row['score_low']:.2f} to {row['score_high']:.2f}; {since})"
            )
    _refuse(found, counts, "see scores_over_measurements of bias_scores")
    return counts


def check_quarantined(store: Store, limits: Limits) -> dict[str, float]:
    """Compares the share of quarantined rows with its limits.

    Returns
    -------
    dict
        `quarantined`, `share`.

    Raises
    ------
    OverLimit
        With the most frequent reasons.
    """
    summary = store.summary("images")
    quarantined, accepted = summary["quarantined"], summary["accepted"]
    share = quarantined / max(quarantined + accepted, 1)
    counts = {"quarantined": quarantined, "share": share}
    if level := exceeded(share, limits):
        reasons = sorted(summary["reasons"].items(), key=lambda item: (-item[1], item[0]))
        common = ", ".join(f"{reason} ({number})" for reason, number in reasons[:3])
        raise OverLimit(
            f"{share:.1%} of the rows were refused ({quarantined} of {quarantined + accepted}), "
            f"above the budget of {getattr(limits, level):.1%}; most often {common}: look at "
            f"{store.quarantine}",
            level == "error",
            counts,
        )
    return counts


def _refuse(found: dict[str, list[str]], counts: dict[str, float], hint: str) -> None:
    sentences = [*found["error"], *found["warn"]]
    if sentences:
        raise OverLimit(f"{'; '.join(sentences)}: {hint}", bool(found["error"]), counts)
