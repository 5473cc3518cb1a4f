"""What card and Croissant file say of a dataset, read from tables and summaries. No wording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from data_contracts.common import SPLITS
from heml.dataset.description import Description
from heml.effect.summary import ArmEffect, arm_effects
from heml.storage.run_context import RunContext

#: Fewer real train rows than this in a group: what is recombined for it descends from few images.
FEW = 20


@dataclass(frozen=True)
class DatasetFacts:
    """What was counted and measured.

    Parameters
    ----------
    name, label : str
    attributes : tuple of str
    licence : str or None
        Of the images, as the recipe says.
    summary, images, samples : dict
        What the stages `rebalanced_dataset`, `images` and `recombined_samples` counted.
    leading : list of dict
        Per attribute the leaf with the highest bias score: a row of `bias_scores`.
    association : list of dict
        Per attribute a row of `association`: Cramér's V in the train split as it came.
    notes : mapping of str to str
        Group → why the plan could not reach its target.
    arms : list of ArmEffect
        Empty if no effect was measured of this dataset.
    """

    name: str
    label: str
    attributes: tuple[str, ...]
    licence: str | None
    summary: Mapping[str, Any]
    images: Mapping[str, Any]
    samples: Mapping[str, Any]
    leading: list[dict[str, Any]]
    association: list[dict[str, Any]]
    notes: Mapping[str, str]
    arms: list[ArmEffect]

    @property
    def groups(self) -> Mapping[str, Mapping[str, float]]:
        """Group → real and recombined train rows, and the weights of the two."""
        return dict(self.summary["groups"])

    @property
    def shares(self) -> dict[str, float]:
        """Group → share of the weight of all train rows that are in a group."""
        masses = {
            group: row["real"] * row["weight_real"] + row["recombined"] * row["weight_recombined"]
            for group, row in self.groups.items()
        }
        total = sum(masses.values()) or 1.0
        return {group: mass / total for group, mass in masses.items()}

    @property
    def rows_by_split(self) -> Mapping[str, int]:
        """Rows of every split that there is, train first."""
        rows = self.summary["rows_by_split"]
        return {split: rows[split] for split in SPLITS if split in rows}

    @property
    def short_groups(self) -> list[str]:
        """Groups of few real train rows."""
        return [group for group, row in self.groups.items() if row["real"] < FEW]

    @property
    def segmenters(self) -> Mapping[str, str | None]:
        """What made the masks, with its licence."""
        return {k: v for k, v in self.summary["segmenters"].items() if k != "none"}

    def arm(self, name: str) -> ArmEffect | None:
        """One training arm, if it was measured."""
        return next((arm for arm in self.arms if arm.arm == name), None)


def gather_facts(
    run: RunContext, about: Description, summary: Mapping[str, Any], effect: bool
) -> DatasetFacts:
    """Reads the finished stages.

    Parameters
    ----------
    summary : mapping
        What the writer counted.
    effect : bool
        Whether `debias_effect` was measured on this dataset.
    """
    store, attributes = run.store, run.attributes
    scores = pd.read_parquet(store.bias_scores)
    leading = scores[
        (scores["kind"] == "leaf") & (scores["rank"] == 1) & scores["attribute"].isin(attributes)
    ]
    association = pd.read_parquet(store.association)
    return DatasetFacts(
        name=about.name,
        label=about.label,
        attributes=attributes,
        licence=about.licence,
        summary=summary,
        images=store.summary("images"),
        samples=store.summary("recombined_samples"),
        leading=_records(leading),
        association=_records(association[association["attribute"].isin(attributes)]),
        notes=dict(store.summary("rebalance_plan").get("notes", {})),
        arms=arm_effects(pd.read_parquet(store.debias_effect)) if effect else [],
    )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with missing values as None."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(column): value for column, value in row.items()} for row in rows]
