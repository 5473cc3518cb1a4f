"""Names of tables in words, and numbers as the report formats them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

DIRECTION_WORDS = {
    "swap_attribute": "attribute of the donor on the host",
    "swap_label": "label of the donor on the host",
    "within_group": "exchange within a group",
    "identity": "exchange within an image",
}


def group_of(label: str, attributes: Sequence[str]) -> str:
    """A group by its values alone."""
    return " · ".join([label, *attributes])


def percent(value: float | None) -> str:
    """A share as whole per cent; a dash if it is missing."""
    return "–" if value is None or pd.isna(value) else f"{value:.0%}"


def decimal(value: float | None) -> str:
    """Two decimals; a dash if it is missing."""
    return "–" if value is None or pd.isna(value) else f"{value:.2f}"


def chance(value: float | None) -> str:
    """A p- or q-value: three decimals, never 0."""
    if value is None or pd.isna(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def plural(count: int, one: str, many: str) -> str:
    """A count with its noun."""
    return f"{count} {one if count == 1 else many}"


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them: a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def distance_words(value: float) -> str:
    """A distance in [0, 1] with enough decimals to compare it with a small threshold."""
    return f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"


def moved_words(nodes: Sequence[str], recolored: Sequence[str]) -> str:
    """What an edit took from the donor."""
    return ", ".join(nodes) + (" with the donor's colors" if len(recolored) else "")
