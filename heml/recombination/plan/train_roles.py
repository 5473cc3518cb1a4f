"""What each node of the tree encodes in a train split: from segments, scores and colors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from heml.images.groups import joined
from heml.recombination.attribution.color_effects import ColorEffects, color_effects
from heml.recombination.attribution.label_colors import colors_that_encode_label
from heml.recombination.attribution.leaf_colors import LeafColors, measure_leaf_colors
from heml.recombination.attribution.presence import find_presence
from heml.recombination.attribution.roles import (
    Roles,
    chance_accuracy,
    find_roles,
    label_evidence,
    roles_from,
)
from heml.recombination.imaging.image_reader import SegmentedImageReader
from heml.recombination.plan.layout import Layouts
from heml.recombination.plan.train_split import texts
from heml.storage.run_context import RunContext
from heml.storage.store import Store


def planned_roles(store: Store) -> Roles:
    """The roles that the stored plan rests on.

    Raises
    ------
    FileNotFoundError
        If there is no plan yet.
    """
    return roles_from(store.summary("rebalance_plan")["roles"])


def train_roles(
    run: RunContext,
    train: pd.DataFrame,
    layouts: Layouts,
    scores: pd.DataFrame,
    donor_colors: bool = True,
) -> Roles:
    """Roles of the nodes for a train split, with attributes that are presences of leaves.

    Parameters
    ----------
    run : RunContext
    train : DataFrame
        Columns label and the attributes; rows as in `layouts`.
    scores : DataFrame
        The `bias_scores` table.
    donor_colors : bool, default True
        Whether hosts get donors' colors, so that it matters which colors encode the label.
    """
    labels = texts(train["label"])
    areas = {leaf: layouts.areas[:, place] for place, leaf in enumerate(layouts.leaves)}
    values = {attribute: texts(train[attribute]) for attribute in run.attributes}
    presence = {
        attribute: find_presence(own, labels.astype(str), areas)
        for attribute, own in values.items()
    }
    strata = np.array([joined(map(str, row)) for row in zip(*values.values(), strict=True)])
    label_presence = find_presence(labels, strata, areas)
    # A leaf that encodes both, because they are confounded, encodes neither for certain.
    both = {p.leaf for p in label_presence} & {p.leaf for f in presence.values() for p in f}
    presence = {g: tuple(p for p in f if p.leaf not in both) for g, f in presence.items()}
    label_presence = tuple(p for p in label_presence if p.leaf not in both)
    measured = scores[scores["attribute"].isin(list(run.attributes))]
    roles = find_roles(
        measured,
        max(len(set(labels)), 1),
        run.taxonomy,
        _chance(train, run.attributes),
        presence,
        label_presence,
    )
    return _with_colors(run, train, measured, roles) if donor_colors else roles


def _chance(train: pd.DataFrame, attributes: Sequence[str]) -> dict[str, float]:
    labels = texts(train["label"])
    return {attribute: chance_accuracy(labels, texts(train[attribute])) for attribute in attributes}


def _with_colors(
    run: RunContext, train: pd.DataFrame, measured: pd.DataFrame, roles: Roles
) -> Roles:
    """Roles with the label nodes whose colors encode the label."""
    if roles.label_presence:
        return roles  # colors do not encode a presence
    labels = texts(train["label"])
    evidence = label_evidence(measured, max(len(set(labels)), 1), _chance(train, run.attributes))
    values = {attribute: texts(train[attribute]) for attribute in run.attributes}
    colors = measure_leaf_colors(
        SegmentedImageReader(run.store),
        train["image_id"].tolist(),
        list(zip(labels, *values.values(), strict=True)),
        roles.label_nodes,
        run.taxonomy,
    )
    own_evidence = {leaf: float(evidence[leaf]) for leaf in roles.label_nodes}
    encoding = colors_that_encode_label(colors, labels.astype(str), own_evidence)
    effects: ColorEffects = {}
    for leaf in encoding:
        for attribute, found in _effects(colors[leaf], labels, values).items():
            effects.setdefault(attribute, {})[leaf] = found
    return replace(roles, label_colors=encoding, color_effects=effects)


def _effects(
    colors: LeafColors, labels: np.ndarray, values: Mapping[str, np.ndarray]
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """What attributes change in a leaf's colors, from records of which all values are known."""
    known = np.array(
        [
            row
            for row in range(len(colors.rows))
            if all(v[colors.rows[row]] is not None for v in (labels, *values.values()))
        ],
        int,
    )
    rows = colors.rows[known]
    own = {attribute: [str(v) for v in column[rows]] for attribute, column in values.items()}
    return color_effects(colors.mean[known], [str(v) for v in labels[rows]], own)
