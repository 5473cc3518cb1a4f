"""Which nodes encode an attribute and which encode the label, from scores and segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from heml.images.groups import TIMES
from heml.recombination.attribution.color_effects import ColorEffects
from heml.recombination.attribution.presence import Presence
from heml.taxonomy import BACKGROUND, Taxonomy

#: A leaf is exchanged too if it reaches this share of the best one: the fewer leaves are exchanged,
#: the less else changes. A branch is moved only if no leaf reaches this share of it.
NEAR_BEST = 0.75
#: Highest q-value of the attribute AUC of a node that is moved.
SIGNIFICANT = 0.05
#: A score whose interval starts below this may be chance.
TOUCHES_ZERO = 0.005


@dataclass(frozen=True)
class Roles:
    """Nodes by what they encode.

    Parameters
    ----------
    attribute_nodes : dict of str to tuple of str
        Attribute → nodes that encode it and rely on it, best first: leaves, or one branch. Empty
        if none is known.
    label_nodes : tuple of str
        Leaves that encode the label, in aligned and conflicting records alike, best first.
    presence : dict of str to tuple of Presence
        Attributes that are the presence of leaves: these leaves encode them.
    label_presence : tuple of Presence
        The same for the label.
    remarks : tuple of str
        Doubts that the scores alone do not show.
    label_colors : tuple of str
        Those of `label_nodes` whose colors encode the label.
    color_effects : dict
        What attributes' values change in the colors of `label_colors`; see `color_effects`.
    """

    attribute_nodes: dict[str, tuple[str, ...]]
    label_nodes: tuple[str, ...]
    presence: dict[str, tuple[Presence, ...]] = field(default_factory=dict)
    label_presence: tuple[Presence, ...] = ()
    remarks: tuple[str, ...] = ()
    label_colors: tuple[str, ...] = ()
    color_effects: ColorEffects = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """As plain data; `roles_from` reads it back."""
        return asdict(self)


def roles_from(content: Mapping[str, Any]) -> Roles:
    """Roles from what `Roles.describe` gave, also after JSON."""
    return Roles(
        {attribute: tuple(nodes) for attribute, nodes in content["attribute_nodes"].items()},
        tuple(content["label_nodes"]),
        {g: tuple(Presence(**p) for p in found) for g, found in content["presence"].items()},
        tuple(Presence(**p) for p in content["label_presence"]),
        tuple(content["remarks"]),
        tuple(content["label_colors"]),
        {
            attribute: {leaf: {v: tuple(lab) for v, lab in own.items()} for leaf, own in by.items()}
            for attribute, by in content["color_effects"].items()
        },
    )


def find_roles(
    scores: pd.DataFrame,
    labels: int,
    taxonomy: Taxonomy | None = None,
    chance: Mapping[str, float] | None = None,
    presence: Mapping[str, tuple[Presence, ...]] | None = None,
    label_presence: tuple[Presence, ...] = (),
) -> Roles:
    """Roles of the nodes.

    Parameters
    ----------
    scores : DataFrame
        The `bias_scores` table.
    labels : int
        Number of label values.
    taxonomy : Taxonomy, optional
        Needed to consider branches where no leaf stands out.
    chance : mapping of str to float, optional
        Attribute → mean accuracy on aligned and conflicting records of the best constant guess;
        default one over `labels`.
    presence : mapping of str to tuple of Presence, optional
        Attributes that are the presence of leaves.
    label_presence : tuple of Presence
        The same for the label.

    Returns
    -------
    Roles
        No leaf has both roles: exchanging it would change label and attribute together.
    """
    # A group names the value of every column; what several columns share needs no move of its own.
    scores = scores[~scores["attribute"].str.contains(TIMES, regex=False)]
    presence = {attribute: found for attribute, found in (presence or {}).items() if found}
    remarks: list[str] = []
    evidence = label_evidence(scores, labels, chance or {})
    label_leaves = tuple(p.leaf for p in label_presence)
    forbidden = {*label_leaves, *_near_best(evidence).index}
    encoding: dict[str, tuple[str, ...]] = {}
    for attribute, own in scores.groupby("attribute", sort=False):
        name = str(attribute)
        if name in presence:
            encoding[name] = tuple(p.leaf for p in presence[name])
            continue
        encoding[name], remark = _encoding_nodes(name, own, forbidden, taxonomy)
        remarks += [remark] if remark else []
    taken = {
        leaf
        for nodes in encoding.values()
        for node in nodes
        for leaf in (taxonomy.leaves_of(node) if taxonomy and node in taxonomy.nodes else (node,))
    }
    if label_leaves:
        label_nodes = tuple(leaf for leaf in label_leaves if leaf not in taken)
    else:
        near = _near_best(evidence.drop(list(taken), errors="ignore"))
        label_nodes = _background_alone(tuple(near.index), taxonomy)
    return Roles(encoding, label_nodes, presence, label_presence, tuple(remarks))


def _near_best(evidence: pd.Series) -> pd.Series:
    return evidence[evidence >= NEAR_BEST * evidence.max()] if len(evidence) else evidence


def _encoding_nodes(
    attribute: str, own: pd.DataFrame, forbidden: set[str], taxonomy: Taxonomy | None
) -> tuple[tuple[str, ...], str]:
    """Nodes that encode an attribute, and what is doubtful about them."""
    own = own.sort_values(["score", "attribute_auc"], ascending=False, kind="stable")
    clear = own[(own["score"] > 0) & (own["attribute_auc_q"] <= SIGNIFICANT)]
    leaves, branches = clear[clear["kind"] == "leaf"], clear[clear["kind"] == "branch"]
    best_leaf = float(leaves["score"].max()) if len(leaves) else 0.0
    if taxonomy is not None and len(branches):
        # A branch with a leaf that encodes the label cannot be moved: the label would go with it.
        free = branches[[not forbidden & set(taxonomy.leaves_of(str(n))) for n in branches["node"]]]
        top = float(free["score"].max()) if len(free) else 0.0
        if best_leaf < NEAR_BEST * top:
            near = free[free["score"] >= NEAR_BEST * top]
            small = min(near["node"], key=lambda n: len(taxonomy.leaves_of(str(n))))
            return (str(small),), f"{attribute}: no single leaf encodes it, the branch {small} does"
    if len(leaves):
        chosen = leaves[leaves["score"] >= NEAR_BEST * best_leaf]
        # With a leaf that encodes the label too, the label would go along: another does as well.
        movable = chosen[~chosen["node"].isin(forbidden)]
        chosen = movable if len(movable) else chosen
        remark = ""
        if "score_low" in chosen and chosen["score_low"].iloc[0] < TOUCHES_ZERO:
            remark = (
                f"{attribute}: no node stands out; {chosen['node'].iloc[0]} scores highest, "
                "but the "
                "interval of its score touches 0"
            )
        return _background_alone(tuple(map(str, chosen["node"])), taxonomy), remark
    return _most_leaking(attribute, own, forbidden)


def _most_leaking(
    attribute: str, own: pd.DataFrame, forbidden: set[str]
) -> tuple[tuple[str, ...], str]:
    """Where no node clearly relies on it: the leaf of the highest attribute AUC, if significant."""
    leaves = own[(own["kind"] == "leaf") & ~own["node"].isin(forbidden)]
    showing = leaves[(leaves["attribute_auc_q"] <= SIGNIFICANT) & (leaves["attribute_auc"] > 0.5)]
    if len(showing):
        best = str(
            showing.sort_values("attribute_auc", ascending=False, kind="stable")["node"].iloc[0]
        )
        return (best,), (
            f"{attribute}: no node stands out; {best}, which has the highest "
            "attribute AUC, is moved"
        )
    if own["attribute_auc"].isna().all():
        return (), (
            f"{attribute}: it is fully confounded with the label: no node can be said to "
            "encode one of them and not the other; a few conflicting records are needed"
        )
    return (), f"{attribute}: no node encodes it clearly enough to be moved"


def _background_alone(nodes: tuple[str, ...], taxonomy: Taxonomy | None) -> tuple[str, ...]:
    """The background is exchanged as a whole, never pasted together with something before it."""
    background = BACKGROUND if taxonomy is None else taxonomy.background
    if background not in nodes or len(nodes) == 1:
        return nodes
    return nodes[:1] if nodes[0] == background else tuple(n for n in nodes if n != background)


def label_evidence(scores: pd.DataFrame, labels: int, chance: Mapping[str, float]) -> pd.Series:
    """Accuracy of leaves for the label above chance, the least over attributes; positive ones only.

    Aligned and conflicting records count equally, so a leaf that relies on the attribute gains
    nothing. A leaf whose interval includes chance is left out.
    """
    leaves = scores[scores["kind"] == "leaf"]
    by_chance = (
        leaves["attribute"]
        .map(lambda attribute: chance.get(str(attribute), 1 / labels))
        .astype(float)
    )

    def mean_of(suffix: str) -> pd.Series:
        columns = [f"accuracy_{which}{suffix}" for which in ("aligned", "conflicting")]
        return leaves[columns].astype(float).mean(axis=1, skipna=False)

    evidence = mean_of("") - by_chance
    low = (mean_of("_low") if "accuracy_aligned_low" in leaves else mean_of("")) - by_chance
    found = pd.DataFrame({"node": leaves["node"], "evidence": evidence, "low": low})
    least = found.groupby("node", sort=False).min().dropna()
    least = least[(least["evidence"] > 0) & (least["low"] > 0)]
    return least["evidence"].sort_values(ascending=False, kind="stable")


def chance_accuracy(labels: np.ndarray, values: np.ndarray) -> float:
    """Mean accuracy on aligned and conflicting records of the best constant guess.

    Where labels are of very different frequency, a leaf that does not encode the label is right
    this often.

    Parameters
    ----------
    labels, values : object arrays (N,)
        Label and attribute value; None where missing.
    """
    known = np.array([value is not None for value in values], bool)
    table = pd.crosstab(labels[known].astype(str), values[known].astype(str)).to_numpy(float)
    if table.sum() == 0:
        return 1.0
    aligned = table > table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    parts = [np.where(chosen, table, 0).sum(axis=1) for chosen in (aligned, ~aligned)]
    shares = [part / part.sum() for part in parts if part.sum()]
    return float(np.mean(shares, axis=0).max())
