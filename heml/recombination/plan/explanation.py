"""What a plan says of itself: why groups are not reached, and what a reader should know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from heml.recombination.plan.allocation import budget_of
from heml.recombination.plan.candidates import EditCandidate, Infeasible
from heml.recombination.plan.group_plan import GroupPlan
from heml.recombination.plan.real_shares import shares_of_real
from heml.recombination.plan.train_split import TrainSplit
from heml.recombination.rebalance_settings import RebalanceSettings

#: Labels whose share of recombined samples is below this part of the largest are named.
UNEVEN = 0.8
#: Difference between labels in the recombined share of an attribute value's weight that is said.
MOST_UNEVEN = 0.1


def group_row(group: GroupPlan) -> dict[str, Any]:
    """A row of the `planned_groups` contract."""
    reason, note = _shortfall(group)
    balancing, within_group = group.balancing_samples, group.within_group_samples
    return {
        "group": group.name,
        "label": group.label,
        "attributes": list(group.attributes),
        "n_real": group.n_real,
        "n_target": group.n_target,
        "n_wanted": balancing + within_group,
        "n_planned": len(group.balancing) + len(group.within_group),
        "note": note,
        "n_missing": max(group.n_target - group.n_real, 0),
        "n_balancing": balancing,
        "n_within_group": within_group,
        "n_reached": group.n_reached,
        "reason": reason,
    }


def _shortfall(group: GroupPlan) -> tuple[str, str]:
    """Why a group does not get what it should have: a reason of the contract, and a note."""
    n, target, asked = group.n_real, group.n_target, group.n_asked
    planned, within_group = len(group.balancing), len(group.within_group)
    reason, notes = "", []
    if target < n:
        reason = "above_target"
        notes.append(f"{n - target} more than the target: real records are never removed")
    elif group.n_reached < target and n + asked < target:
        reason = "budget"
        notes.append(f"the budget leaves {asked} of the {target - n} missing samples")
    if group.n_reached < target and planned < asked and (why := group.balancing.shortage):
        reason = why.reason
        notes.append(
            f"{planned} of {asked} samples can be planned: {why.sentence}"
            if planned
            else f"cannot be reached: {why.sentence}"
        )
    if within_group < group.n_within_group and (why := group.within_group.shortage):
        reason = reason or why.reason
        notes.append(
            f"{within_group} of {group.n_within_group} within-group samples: {why.sentence}"
        )
    return reason, "; ".join(notes)


def scarcity(candidates: Iterable[EditCandidate], cap: int, donor_share: float) -> Infeasible:
    """Why candidates give no more edits: hosts or donors are few, each within its share."""
    scarce: dict[str, tuple[int, str]] = {}
    for candidate in candidates:
        few = min((len(candidate.donors), "donor"), (len(candidate.hosts), "host"))
        scarce[candidate.direction] = max(scarce.get(candidate.direction, few), few)
    words = [
        f"{few} {word}{'' if few == 1 else 's'} for {direction}"
        for direction, (few, word) in sorted(scarce.items())
    ]
    return Infeasible(
        "donor_share",
        f"{' and '.join(words)}, at most {cap} sample{'' if cap == 1 else 's'} each "
        f"(donor_share {donor_share:g})",
    )


def few_pairs(candidates: Iterable[EditCandidate]) -> Infeasible:
    """Why candidates give no more edits: every pair of a host and a donor is used."""
    sides = {c.direction: (len(c.hosts), len(c.donors)) for c in candidates}
    words = [
        f"{hosts} host{'' if hosts == 1 else 's'} with {donors} donor{'' if donors == 1 else 's'} "
        f"for {direction}"
        for direction, (hosts, donors) in sorted(sides.items())
    ]
    return Infeasible("no_donor", f"{' and '.join(words)} give no more different samples")


def remarks(split: TrainSplit, settings: RebalanceSettings, planned: pd.DataFrame) -> list[str]:
    """What holds for a plan as a whole and a reader should know.

    Parameters
    ----------
    split : TrainSplit
    settings : RebalanceSettings
    planned : DataFrame
        As the `planned_groups` contract says.
    """
    return [
        *_missing_values(split),
        *_single_values(split),
        *_budget(settings, len(split)),
        *_groups(planned),
        *_uneven_labels(planned),
        *_uneven_within(planned),
    ]


def _missing_values(split: TrainSplit) -> list[str]:
    unknown = int((~split.grouped).sum())
    if not unknown:
        return []
    missing = [
        f"{attribute} {count}"
        for attribute, count in zip(split.attributes, (~split.known).sum(axis=0), strict=True)
        if count
    ]
    return [
        f"{unknown} train record{'s have' if unknown != 1 else ' has'} no value of an attribute "
        f"({', '.join(missing)}): they belong to no group, stay in the dataset, and are never hosts"
    ]


def _single_values(split: TrainSplit) -> list[str]:
    found = []
    for place, attribute in enumerate(split.attributes):
        counts = Counter(value for value in split.values[:, place] if value is not None)
        once = sorted(str(value) for value, count in counts.items() if count == 1)
        if once:
            found.append(f"{attribute} {', '.join(once)} occurs in a single train record")
    return found


def _budget(settings: RebalanceSettings, records: int) -> Sequence[str]:
    if settings.budget == 0:
        return ["the budget is 0: nothing is planned"]
    if budget_of(settings, records) == 0:
        return ["the budget is less than one sample: nothing is planned"]
    return []


def _groups(planned: pd.DataFrame) -> Sequence[str]:
    if planned.empty:
        return ["no train record has a value of every attribute: nothing can be planned"]
    occurring = planned.loc[planned["n_real"] > 0, "group"]
    if len(occurring) == 1:
        return [
            f"all train records are in one group, {occurring.iloc[0]}: "
            "no association shows what to move"
        ]
    return []


def _uneven_labels(planned: pd.DataFrame) -> list[str]:
    """A line if recombined samples make up much more of one label's records than of another's."""
    sums = planned[planned["n_target"] > 0].groupby("label")[["n_real", "n_reached"]].sum()
    sums = sums[sums["n_reached"] > 0]
    shares = 1 - sums["n_real"] / sums["n_reached"]
    if shares.empty or shares.min() >= UNEVEN * shares.max():
        return []
    names = ", ".join(str(label) for label in shares[shares < UNEVEN * shares.max()].index)
    return [
        f"{names} gets fewer recombined samples per record than the other labels: being "
        "recombined is predictive of the label"
    ]


def _uneven_within(planned: pd.DataFrame) -> list[str]:
    """A line for every attribute value at which being recombined will tell the label, weights
    included."""
    rows = planned[planned["n_reached"] > 0].to_dict("records")
    real = {(r["label"], *r["attributes"]): int(r["n_real"]) for r in rows}
    made = {(r["label"], *r["attributes"]): int(r["n_reached"] - r["n_real"]) for r in rows}
    shares = shares_of_real(real, made)
    found = []
    for values in dict.fromkeys(group[1:] for group in shares):
        own = {group[0]: 1 - share for group, share in shares.items() if group[1:] == values}
        most, least = max(own, key=own.__getitem__), min(own, key=own.__getitem__)
        if own[most] - own[least] > MOST_UNEVEN:
            found.append(
                f"among records with {', '.join(map(str, values))}, recombined samples are "
                f"{own[most]:.0%} of the weight of {most} and {own[least]:.0%} of that of {least}: "
                "being recombined is predictive of the label there; a larger budget or "
                "within_group evens it out"
            )
    return found
