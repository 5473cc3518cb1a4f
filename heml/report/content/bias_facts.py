"""Association measures and discovered attributes, read from the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from heml.bias.measure import MEASURES
from heml.report.drawing.data_uris import Embedded, embed
from heml.report.drawing.thumbnails import encoded
from heml.report.figures.store_images import StoreImages
from heml.storage.store import Store

#: Discovered attributes shown with images, and the box of an image in pixels.
MOST_SHOWN, BOX, DENSITY = 3, 256, 1.6
#: Groups and values listed per attribute and measure; the table has all.
MOST_GROUPS = 8


@dataclass(frozen=True)
class MeasureRow:
    """One measure as the report lists it; `note` gives the reason for missing numbers."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    q: float | None
    note: str


def measures_by_attribute(store: Store) -> dict[str, list[MeasureRow]]:
    """Measures of every attribute, those of groups strongest first."""
    table = pd.read_parquet(store.bias_measures)
    found: dict[str, list[MeasureRow]] = {}
    for attribute, own in table.groupby("attribute", sort=False):
        rows: list[MeasureRow] = []
        for _, kind in own.groupby("measure", sort=False):
            strongest = kind["value"].abs().sort_values(ascending=False, kind="stable").index
            rows += [_row(r) for r in kind.loc[strongest[:MOST_GROUPS]].to_dict("records")]
        found[str(attribute)] = rows
    return found


def _row(row: dict[Any, Any]) -> MeasureRow:
    of = " · ".join(row[k] for k in ("label_value", "attribute_value") if not pd.isna(row[k]))
    numbers = {k: None if pd.isna(row[k]) else float(row[k]) for k in ("value", "low", "high", "q")}
    # A table may name a measure of a part that is not installed here.
    known = row["measure"] in MEASURES
    name = f"{MEASURES[row['measure']].words if known else row['measure']} {of}".strip()
    return MeasureRow(name, n=int(row["n"]), note=row["note"], **numbers)


@dataclass(frozen=True)
class DiscoveredValue:
    """One value of a discovered attribute with its most typical images."""

    name: str
    count: int
    exemplars: list[Embedded]
    conflicting: list[Embedded]


@dataclass(frozen=True)
class DiscoveredGroup:
    """Records of one label and value, and how often their label is guessed wrongly.

    Parameters
    ----------
    joined, whole : tuple of float
        Error rate and the ends of its interval: of all leaves together, of the whole image.
    """

    label: str
    value: str
    n: int
    joined: tuple[float, float, float]
    whole: tuple[float, float, float]


@dataclass(frozen=True)
class Discovered:
    """A discovered attribute as the report shows it.

    Parameters
    ----------
    row : dict
        Of the `discovered_nodes` table.
    values : list of DiscoveredValue
        Empty for attributes that are listed without images.
    groups : list of DiscoveredGroup
    """

    row: dict[str, Any]
    values: list[DiscoveredValue]
    groups: list[DiscoveredGroup]


def discovered(store: Store, images: StoreImages, attributes: tuple[str, ...]) -> list[Discovered]:
    """The attributes that were found, most evidence first; empty if columns gave them. Those that
    mislead are shown with images, and the first in any case."""
    if not store.discovered_nodes.exists():
        return []
    rows = pd.read_parquet(store.discovered_nodes).sort_values("rank")
    if not set(rows["attribute"]) & set(attributes):
        return []
    rows = rows.astype(object).where(rows.notna(), None)
    return [
        Discovered(
            {str(k): v for k, v in row.items()},
            _values(images, row)
            if place == 0 or (row["misleading"] and place < MOST_SHOWN)
            else [],
            _groups(row),
        )
        for place, row in enumerate(rows.to_dict("records"))
    ]


def _groups(row: dict[Any, Any]) -> list[DiscoveredGroup]:
    def rate(model: str, place: int) -> tuple[float, float, float]:
        low, high = (float(row[f"group_error_{end}_{model}"][place]) for end in ("low", "high"))
        return float(row[f"group_error_{model}"][place]), low, high

    named = zip(row["group_label"], row["group_value"], row["group_n"], strict=True)
    return [
        DiscoveredGroup(label, value, int(n), rate("joined", place), rate("whole", place))
        for place, (label, value, n) in enumerate(named)
    ]


def _values(images: StoreImages, row: dict[Any, Any]) -> list[DiscoveredValue]:
    def shown(ids: list[str], words: str) -> list[Embedded]:
        return [
            embed(encoded(images.image(i), BOX, BOX), f"Train image {i}, {words}", DENSITY)
            for i in ids
        ]

    named = zip(row["values"], row["counts"], row["exemplars"], row["conflicting"], strict=True)
    return [
        DiscoveredValue(
            name, int(count), shown(ids, name), shown(others, f"{name}, of another label")
        )
        for name, count, ids, others in named
    ]
