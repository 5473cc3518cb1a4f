"""Which leaves carry a group and which carry the label, read off the bias scores."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

#: A leaf belongs to the carriers if it reaches this share of the best one: the fewer leaves are
#: exchanged, the less else changes.
NEAR_BEST = 0.75
#: Highest q-value of the leakage of a carrier.
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Roles:
    """Leaves by what they carry.

    Parameters
    ----------
    group_carriers : dict of str to tuple of str
        Group attribute → leaves that carry it and are fooled by it, best first. Empty if none is.
    label_carriers : tuple of str
        Leaves that tell the label on aligned and conflicting records alike, best first.
    """

    group_carriers: dict[str, tuple[str, ...]]
    label_carriers: tuple[str, ...]


def find_roles(scores: pd.DataFrame, labels: int) -> Roles:
    """Roles of the leaves.

    Parameters
    ----------
    scores : DataFrame
        The `bias_scores` table.
    labels : int
        Number of label values: chance is one over it.

    Returns
    -------
    Roles
        No leaf has both roles: exchanging it would change label and group together.
    """
    leaves = scores[scores["kind"] == "leaf"]
    carriers = {}
    for group, own in leaves.groupby("group", sort=False):
        own = own.sort_values(["score", "leakage"], ascending=False)
        best = float(own["score"].iloc[0])
        chosen = own[(own["score"] >= NEAR_BEST * best) & (own["leakage_q"] <= SIGNIFICANT)]
        carriers[str(group)] = tuple(chosen["node"]) if best > 0 else ()
    taken = {leaf for nodes in carriers.values() for leaf in nodes}
    # Aligned and conflicting records count equally, so a leaf fooled by the group gains nothing.
    evidence = (
        leaves.assign(
            evidence=(leaves["accuracy_aligned"] + leaves["accuracy_conflicting"]) / 2 - 1 / labels
        )
        .groupby("node", sort=False)["evidence"]
        .min()
        .drop(list(taken), errors="ignore")
        .dropna()
        .sort_values(ascending=False, kind="stable")
    )
    if evidence.empty or evidence.iloc[0] <= 0:
        return Roles(carriers, ())
    near = evidence[evidence >= NEAR_BEST * evidence.iloc[0]]
    return Roles(carriers, tuple(near.index))
