"""Numbers of the report, read from tables and summaries. No sentences, no drawing."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import Any

import pandas as pd

from heml.effect.summary import ArmEffect, arm_effects
from heml.images.images_table import image_index
from heml.report.content.revoked_images import refuse_revoked
from heml.report.figures.examples import examples_per_group
from heml.report.figures.plan_figures import accepted_per_group
from heml.sources.ingest import quarantined
from heml.storage.stage_names import stage_names
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

#: Quarantined rows and weights that the report lists; the tables hold all.
MOST_QUARANTINED, MOST_WEIGHTS = 10, 6
#: Examples of a group, and groups with examples.
EXAMPLES, GROUPS_WITH_EXAMPLES = 6, 12

_PACKAGES = ("heml", "torch", "kornia", "scikit-learn", "scipy", "numpy", "pandas", "pyarrow")


@dataclass(frozen=True)
class Group:
    """One group of the train split, before and after.

    Parameters
    ----------
    name : str
    real, wanted, accepted, target : int
    within_group, reached : int
        Planned samples whose host and donor are both of this group; records if all are accepted.
    share, ratio : float
        Of the train split; records over those expected if label and attributes were independent.
    weight_real, weight_recombined : float or None
        Sample weights of its rows in the rebalanced dataset.
    note : str
        Why the target cannot be reached, or empty.
    examples : list of str
        Image ids.
    """

    name: str
    real: int
    wanted: int
    accepted: int
    target: int
    within_group: int
    reached: int
    share: float
    ratio: float | None
    weight_real: float | None
    weight_recombined: float | None
    note: str
    examples: list[str]


@dataclass(frozen=True)
class Facts:
    """What was counted and measured.

    Parameters
    ----------
    label : str
    attributes : tuple of str
    images, tree, bias, plan, samples, dataset : dict
        Summaries of the stages.
    quarantined : list of dict
        The first refused rows.
    groups : list of Group
        Largest first.
    association, scores : DataFrame
        Those tables; scores best first.
    arms : list of ArmEffect
        Empty if the effect was not measured.
    not_measured : str
        The reason, where the stage gives one.
    weights : list of tuple of str and two floats
        Nodes with the largest weights: plain, debiased.
    labels : int
        Number of label values.
    """

    label: str
    attributes: tuple[str, ...]
    images: dict[str, Any]
    tree: dict[str, Any]
    bias: dict[str, Any]
    plan: dict[str, Any]
    samples: dict[str, Any]
    dataset: dict[str, Any]
    quarantined: list[dict[str, Any]]
    groups: list[Group]
    association: pd.DataFrame
    scores: pd.DataFrame
    arms: list[ArmEffect]
    not_measured: str
    weights: list[tuple[str, float, float]]
    labels: int

    def leaves(self, attribute: str) -> pd.DataFrame:
        """Scores of the leaves for one attribute, best first."""
        own = self.scores[(self.scores["attribute"] == attribute) & (self.scores["kind"] == "leaf")]
        return own.sort_values("rank").reset_index(drop=True)

    def nodes(self, attribute: str) -> list[dict[str, Any]]:
        """Scores of all nodes for one attribute, best first; missing values as None."""
        own = self.scores[self.scores["attribute"] == attribute].sort_values(
            ["score", "attribute_auc", "node"], ascending=[False, False, True]
        )
        rows = own.astype(object).where(own.notna(), None).to_dict("records")
        return [{str(column): value for column, value in row.items()} for row in rows]

    def arm(self, name: str) -> ArmEffect | None:
        """One training arm, if it was measured."""
        return next((arm for arm in self.arms if arm.arm == name), None)


def gather(store: Store, label_name: str, attributes: Sequence[str], effect: bool) -> Facts:
    """Reads the finished stages.

    Parameters
    ----------
    effect : bool
        Whether `debias_effect` belongs to this run.

    Raises
    ------
    FileNotFoundError
        If a stage has not run.
    RevokedImagesError
        If images were revoked and the stages have not run since.
    """
    tree = store.summary("metric_tree")
    dataset = store.summary("rebalanced_dataset")
    index = image_index(store, list(attributes))
    refuse_revoked(store, index)
    return Facts(
        label=label_name,
        attributes=tuple(attributes),
        images=store.summary("images"),
        tree=tree,
        bias=store.summary("bias_scores"),
        plan=store.summary("rebalance_plan"),
        samples=store.summary("recombined_samples"),
        dataset=dataset,
        quarantined=list(islice(quarantined(store), MOST_QUARANTINED)),
        groups=_groups(store, index, attributes, dataset),
        association=pd.read_parquet(store.association),
        scores=pd.read_parquet(store.bias_scores),
        arms=arm_effects(pd.read_parquet(store.debias_effect)) if effect else [],
        not_measured=store.summary("debias_effect").get("not_measured", "") if effect else "",
        weights=_weights(tree["weights"]),
        labels=int(index["label"].nunique()),
    )


def _groups(
    store: Store, index: pd.DataFrame, attributes: Sequence[str], dataset: dict[str, Any]
) -> list[Group]:
    coverage = pd.read_parquet(store.coverage).set_index("group")
    accepted = accepted_per_group(store)
    examples = {key: ids for key, _, ids in examples_per_group(index, attributes, EXAMPLES)}
    planned = pd.read_parquet(store.planned_groups).sort_values(
        ["n_real", "group"], ascending=[False, True]
    )
    groups = []
    for number, row in enumerate(planned.to_dict("records")):
        key = (row["label"], *row["attributes"])
        ratio = coverage.at[row["group"], "representation_ratio"]
        written = dataset["groups"].get(row["group"], {})
        groups.append(
            Group(
                name=row["group"],
                real=int(row["n_real"]),
                wanted=int(row["n_wanted"]),
                accepted=accepted[key],
                target=int(row["n_target"]),
                within_group=int(row["n_within_group"]),
                reached=int(row["n_reached"]),
                share=float(coverage.at[row["group"], "share"]),  # type: ignore[arg-type]
                ratio=None if pd.isna(ratio) else float(ratio),  # type: ignore[arg-type]
                weight_real=written.get("weight_real"),
                weight_recombined=written.get("weight_recombined"),
                note=row["note"],
                examples=examples.get(key, []) if number < GROUPS_WITH_EXAMPLES else [],
            )
        )
    return groups


def _weights(weights: dict[str, dict[str, float]]) -> list[tuple[str, float, float]]:
    plain, debiased = weights["plain"], weights["debiased"]
    order = sorted(plain, key=lambda node: (-max(plain[node], debiased[node]), node))
    return [(node, plain[node], debiased[node]) for node in order[:MOST_WEIGHTS]]


def fingerprints(store: Store, taxonomy: Taxonomy, effect: bool) -> dict[str, str]:
    """Fingerprint of every stage that the report rests on.

    Raises
    ------
    FileNotFoundError
        If a stage has not run.
    """
    stages = stage_names(taxonomy.nodes, discovery=False, effect=effect)
    return {stage: store.fingerprint(stage) for stage in stages}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape results."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that is not installed
            found[package] = "not installed"
    return found
