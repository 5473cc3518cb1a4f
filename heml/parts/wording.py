"""The short names of tables in plain words, and numbers as the report writes them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

DIRECTION_WORDS = {
    "swap_attribute": "attribute moved onto the host",
    "swap_label": "label moved onto the host",
    "within_group": "control within a group",
    "identity": "control within an image",
}

REASON_WORDS = {
    "label_kept": "label no longer recognized",
    "attribute_changed": "attribute not recognized",
    "in_distribution": "too far from real images",
    "not_duplicate": "hardly changed",
    "seam_hidden": "a seam or smear shows",
    "segment_found": "the moved segment is not found again",
    "identity_edit": "its own segment given back, only to test the operator",
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


GATE_WORDS = {
    "label_kept": "Does the debiased similarity still tell the intended label?",
    "attribute_changed": "Do the carrying segments show the intended attribute?",
    "in_distribution": "Does the whole image lie among real ones?",
    "not_duplicate": "Did it change visibly from its host, and is it more than its donor?",
    "seam_hidden": "Are seam and detail no more conspicuous than real borders?",
    "segment_found": "Does a segmenter find the moved segment again?",
}


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them: a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def distance_words(value: float) -> str:
    """A distance in [0, 1] with enough decimals to compare it with a small threshold."""
    return f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"


def moved_words(nodes: Sequence[str], recolored: Sequence[str]) -> str:
    """What an edit took from the donor."""
    return ", ".join(nodes) + (" with the donor's colors" if len(recolored) else "")
