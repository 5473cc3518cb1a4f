"""The stage: from scores and segments to the rebalance plan. No pixel is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from data_contracts import PLANNED_GROUPS, REBALANCE_PLAN
from heml.images.images_table import image_index
from heml.recombination.attribution.roles import Roles
from heml.recombination.plan.layout import read_layouts
from heml.recombination.plan.planner import Plan, Planner
from heml.recombination.plan.quotas import check_values
from heml.recombination.plan.train_roles import train_roles
from heml.recombination.plan.train_split import texts
from heml.recombination.rebalance_settings import Quotas, RebalanceSettings
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome, run_stage

VERSION = 16


def make_plan(
    run: RunContext,
    label_name: str,
    settings: RebalanceSettings,
) -> Outcome:
    """Writes `store.rebalance_plan` and `store.planned_groups`. No pixel is changed.

    Parameters
    ----------
    run : RunContext
        With the attributes in use; its store holds images, segments and bias scores.
    label_name : str
        What the label is called in the input.
    settings : RebalanceSettings

    Raises
    ------
    QuotaError
        If the quotas name a value that no train record has.
    """
    store = run.store
    key = fingerprint(
        VERSION,
        label_name,
        list(run.attributes),
        settings.model_dump(),
        store.fingerprint("bias_scores"),
        store.summary("segments")["content"],
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        train = train_records(run, label_name, settings)
        layouts = read_layouts(run, train["image_id"].tolist())
        scores = pd.read_parquet(store.bias_scores)
        roles = train_roles(run, train, layouts, scores, settings.donor_colors)
        members = {node: run.taxonomy.leaves_of(node) for node in run.taxonomy.nodes}
        planner = Planner(train, run.attributes, roles, layouts, settings, label_name, members)
        plan = planner.plan()
        outputs = [store.rebalance_plan, store.planned_groups]
        for contract, frame, path in zip(
            (REBALANCE_PLAN, PLANNED_GROUPS), (plan.edits, plan.groups), outputs, strict=True
        ):
            with write_aside(path) as aside:
                pq.write_table(contract.table(frame), aside)
        summary = _describe(plan, roles, label_name)
        run.progress(f"rebalance_plan: {summary['words']}")
        for remark in plan.remarks:
            run.progress(f"rebalance_plan: {remark}")
        return summary, outputs

    return run_stage(store, "rebalance_plan", key, compute, run.progress)


def train_records(run: RunContext, label_name: str, settings: RebalanceSettings) -> pd.DataFrame:
    """Train rows of `image_index`; refuses quotas that do not fit them.

    Raises
    ------
    QuotaError
    """
    index = image_index(run.store, list(run.attributes))
    train = index[index["split"] == "train"].reset_index(drop=True)
    if isinstance(settings.target, Quotas):
        known = [
            sorted({value for value in texts(train[column]) if value is not None})
            for column in ("label", *run.attributes)
        ]
        check_values(settings.target, label_name, run.attributes, known)
    return train


def _describe(plan: Plan, roles: Roles, label_name: str) -> dict[str, Any]:
    edits, groups = plan.edits, plan.groups
    notes = groups.loc[groups["note"] != "", ["group", "note"]]
    real = edits[edits["direction"] != "identity"]
    samples = groups["n_reached"] - groups["n_real"]
    short = groups[(groups["reason"] != "") & (groups["n_missing"] > 0)]
    moves = [
        f"{attribute} is moved with {', '.join(nodes)}"
        for attribute, nodes in roles.attribute_nodes.items()
        if nodes
    ]
    moves.append(f"{label_name} with {', '.join(roles.label_nodes) or 'no leaf'}")
    for attribute, by_leaf in roles.color_effects.items():
        moves.append(
            f"colors of {', '.join(by_leaf)}, which encode {label_name}, change by what "
            f"{attribute} changes in them"
        )
    tinted = {leaf for by_leaf in roles.color_effects.values() for leaf in by_leaf}
    if staying := [leaf for leaf in roles.label_colors if leaf not in tinted]:
        moves.append(f"colors of {', '.join(staying)} stay: they encode {label_name}")
    return {
        "edits": len(edits),
        "wanted": int(groups["n_wanted"].sum()),
        "would_make": int(samples.sum()),
        "missing": int(groups["n_missing"].sum()),
        "groups_short": len(short),
        "donors": int(real["donor_id"].nunique()),
        "hosts": int(real["host_id"].nunique()),
        "identity_edits": int((edits["direction"] == "identity").sum()),
        "operators": real["operator"].value_counts().sort_index().to_dict(),
        "directions": edits["direction"].value_counts().sort_index().to_dict(),
        "recombined_by_label": samples.groupby(groups["label"]).sum().astype(int).to_dict(),
        "attribute_nodes": {g: ", ".join(nodes) for g, nodes in roles.attribute_nodes.items()},
        "label_nodes": ", ".join(roles.label_nodes),
        "recolored": sorted({leaf for leaves in edits["recolored_nodes"] for leaf in leaves}),
        "presence_attributes": {
            attribute: ", ".join(p.leaf for p in found)
            for attribute, found in roles.presence.items()
        },
        "roles": roles.describe(),
        "remarks": plan.remarks,
        "notes": dict(notes.itertuples(index=False)),
        "words": (
            f"{groups['n_wanted'].sum()} samples wanted, {len(real)} edits planned for them; "
            + "; ".join(moves)
        ),
    }
