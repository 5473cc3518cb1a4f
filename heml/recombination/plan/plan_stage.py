"""The stage: from scores and segments to the rebalance plan. No pixel is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data_contracts import PLANNED_CELLS, REBALANCE_PLAN
from heml.compute.progress import Progress
from heml.images.images_table import image_index
from heml.recombination.attribution.label_colors import told_by_colour
from heml.recombination.attribution.presence import find_presence
from heml.recombination.attribution.roles import (
    Roles,
    find_roles,
    guessing,
    label_evidence,
    roles_from,
)
from heml.recombination.imaging.image_reader import PictureReader
from heml.recombination.plan.allocation import texts
from heml.recombination.plan.layout import Layouts, read_layouts
from heml.recombination.plan.planner import Plan, Planner
from heml.recombination.plan.quotas import check_values
from heml.recombination.rebalance_settings import Quotas, RebalanceSettings
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.stage import Outcome, run_stage
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

VERSION = 8


def make_plan(
    store: Store,
    taxonomy: Taxonomy,
    label_name: str,
    groups: Sequence[str],
    settings: RebalanceSettings,
    progress: Progress,
) -> Outcome:
    """Writes `store.rebalance_plan` and `store.planned_cells`. No pixel is changed.

    Raises
    ------
    QuotaError
        If the quotas name a value that no train record has.
    """
    key = fingerprint(
        VERSION,
        label_name,
        list(groups),
        settings.model_dump(),
        store.fingerprint("bias_scores"),
        store.summary("segments")["content"],
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        train = train_records(store, label_name, groups, settings)
        layouts = read_layouts(store, taxonomy, train["image_id"].tolist())
        scores = pd.read_parquet(store.bias_scores)
        roles = roles_of(train, groups, layouts, scores, taxonomy)
        if settings.donor_colours:
            roles = _with_colours(store, train, groups, scores, roles, taxonomy)
        members = {node: taxonomy.leaves_of(node) for node in taxonomy.nodes}
        planner = Planner(train, groups, roles, layouts, settings, label_name, members)
        plan = planner.plan()
        outputs = [store.rebalance_plan, store.planned_cells]
        for contract, frame, path in zip(
            (REBALANCE_PLAN, PLANNED_CELLS), (plan.edits, plan.cells), outputs, strict=True
        ):
            with write_aside(path) as aside:
                pq.write_table(contract.table(frame), aside)
        summary = _describe(plan, roles, label_name)
        progress(f"rebalance_plan: {summary['words']}")
        for remark in plan.remarks:
            progress(f"rebalance_plan: {remark}")
        return summary, outputs

    return run_stage(store, "rebalance_plan", key, compute, progress)


def planned_roles(store: Store) -> Roles:
    """The roles that the stored plan rests on.

    Raises
    ------
    FileNotFoundError
        If the plan has not been made.
    """
    return roles_from(store.summary("rebalance_plan")["roles"])


def train_records(
    store: Store, label_name: str, groups: Sequence[str], settings: RebalanceSettings
) -> pd.DataFrame:
    """Train rows of `image_index`; refuses quotas that do not fit them.

    Raises
    ------
    QuotaError
    """
    index = image_index(store, list(groups))
    train = index[index["split"] == "train"].reset_index(drop=True)
    if isinstance(settings.target, Quotas):
        known = [
            sorted({value for value in texts(train[column]) if value is not None})
            for column in ("label", *groups)
        ]
        check_values(settings.target, label_name, groups, known)
    return train


def roles_of(
    train: pd.DataFrame,
    groups: Sequence[str],
    layouts: Layouts,
    scores: pd.DataFrame,
    taxonomy: Taxonomy,
) -> Roles:
    """Roles of the nodes for a train split, with attributes that are presences of leaves.

    Parameters
    ----------
    train : DataFrame
        Columns label and the groups; rows as in `layouts`.
    scores : DataFrame
        The `bias_scores` table.
    """
    labels = texts(train["label"])
    areas = {leaf: layouts.areas[:, place] for place, leaf in enumerate(layouts.leaves)}
    values = {group: texts(train[group]) for group in groups}
    presence = {
        group: find_presence(own, labels.astype(str), areas) for group, own in values.items()
    }
    strata = np.array([" · ".join(map(str, row)) for row in zip(*values.values(), strict=True)])
    label_presence = find_presence(labels, strata, areas)
    # A leaf that tells both, because they always go together, tells neither for certain.
    both = {p.leaf for p in label_presence} & {p.leaf for f in presence.values() for p in f}
    presence = {g: tuple(p for p in f if p.leaf not in both) for g, f in presence.items()}
    label_presence = tuple(p for p in label_presence if p.leaf not in both)
    measured = scores[scores["group"].isin(list(groups))]
    return find_roles(
        measured,
        max(len(set(labels)), 1),
        taxonomy,
        _chance(train, groups),
        presence,
        label_presence,
    )


def _chance(train: pd.DataFrame, groups: Sequence[str]) -> dict[str, float]:
    labels = texts(train["label"])
    return {group: guessing(labels, texts(train[group])) for group in groups}


def _with_colours(
    store: Store,
    train: pd.DataFrame,
    groups: Sequence[str],
    scores: pd.DataFrame,
    roles: Roles,
    taxonomy: Taxonomy,
) -> Roles:
    """Roles that know which label carriers tell it by their colours."""
    if roles.label_presence:
        return roles  # a presence is told by no colour
    labels = texts(train["label"])
    measured = scores[scores["group"].isin(list(groups))]
    evidence = label_evidence(measured, max(len(set(labels)), 1), _chance(train, groups))
    told = told_by_colour(
        PictureReader(store),
        train["image_id"].tolist(),
        labels.astype(str),
        {leaf: float(evidence[leaf]) for leaf in roles.label_carriers},
        taxonomy,
    )
    return replace(roles, label_colours=told)


def _describe(plan: Plan, roles: Roles, label_name: str) -> dict[str, Any]:
    edits, cells = plan.edits, plan.cells
    notes = cells.loc[cells["note"] != "", ["cell", "note"]]
    real = edits[edits["direction"] != "self"]
    made = cells["n_reached"] - cells["n_real"]
    short = cells[(cells["reason"] != "") & (cells["n_missing"] > 0)]
    moves = [
        f"{group} is moved with {', '.join(nodes)}"
        for group, nodes in roles.group_carriers.items()
        if nodes
    ]
    moves.append(f"{label_name} with {', '.join(roles.label_carriers) or 'no leaf'}")
    if roles.label_colours:
        moves.append(f"colours of {', '.join(roles.label_colours)} stay, they tell {label_name}")
    return {
        "edits": len(edits),
        "wanted": int(cells["n_wanted"].sum()),
        "would_make": int(made.sum()),
        "missing": int(cells["n_missing"].sum()),
        "cells_short": len(short),
        "donors": int(real["donor_id"].nunique()),
        "hosts": int(real["host_id"].nunique()),
        "self_recombinations": int((edits["direction"] == "self").sum()),
        "operators": real["operator"].value_counts().sort_index().to_dict(),
        "directions": edits["direction"].value_counts().sort_index().to_dict(),
        "recombined_by_label": made.groupby(cells["label"]).sum().astype(int).to_dict(),
        "group_carriers": {g: ", ".join(nodes) for g, nodes in roles.group_carriers.items()},
        "label_carriers": ", ".join(roles.label_carriers),
        "recoloured": sorted({leaf for leaves in edits["recoloured_nodes"] for leaf in leaves}),
        "presence_groups": {
            group: ", ".join(p.leaf for p in found) for group, found in roles.presence.items()
        },
        "roles": roles.describe(),
        "remarks": plan.remarks,
        "notes": dict(notes.itertuples(index=False)),
        "words": (
            f"{cells['n_wanted'].sum()} samples wanted, {len(real)} edits planned for them; "
            + "; ".join(moves)
        ),
    }
