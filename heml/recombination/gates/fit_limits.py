"""Setting the gates' limits from a store: held-out votes, distances and real pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from heml.images.groups import cell_codes
from heml.metrics.artifacts import load_node, measured_images
from heml.recombination.attribution.roles import Roles
from heml.recombination.gates.calibration import (
    Limit,
    Resegment,
    distribution_limit,
    held_out_votes,
    vote_limit,
)
from heml.recombination.gates.judge import Gates, Limits
from heml.recombination.gates.pixel_gates import AppearanceLimits
from heml.recombination.imaging.image_reader import PictureReader
from heml.recombination.imaging.segmented_image import Picture
from heml.storage.store import Store
from heml.tree.metric_tree import MetricTree

#: Real pictures that are in memory together.
_BATCH = 32


def fit_gates(
    store: Store,
    tree: MetricTree,
    roles: Roles,
    index: pd.DataFrame,
    groups: Sequence[str],
    pictures: PictureReader,
    resegment: Resegment | None = None,
    appearance: AppearanceLimits | None = None,
) -> Gates:
    """Gates with limits from the train split.

    Parameters
    ----------
    store : Store
    tree : MetricTree
    roles : Roles
    index : DataFrame
        All images of the store: columns image_id, split, label and the groups.
    groups : sequence of str
    pictures : PictureReader
        Kept by the gates, for limits that are set when they are first asked for.
    resegment : callable, optional
        Segments of images from their pixels, for the gate that looks for moved segments again.
    appearance : AppearanceLimits, optional
        Limits that other gates of the same store have measured.
    """
    metrics = [load_node(store, node) for node in tree.taxonomy.nodes]
    index = measured_images(index, metrics[0])
    cells, _ = cell_codes(index, ["label", *groups])
    root = metrics[tree.taxonomy.nodes.index(tree.taxonomy.root)]
    train = index.loc[index["split"] == "train"]

    def limit(column: str, nodes: Sequence[str] | None) -> Limit:
        rows, votes = held_out_votes(tree, metrics, index[column].to_numpy(str), nodes)
        return vote_limit(votes, cells[rows], train[column].nunique())

    limits = Limits(
        label=limit("label", None),
        groups={
            group: limit(group, roles.group_carriers[group])
            for group in groups
            if roles.group_carriers.get(group)
        },
        distribution=distribution_limit(root, cells, tree.neighbours),
    )
    ids = train["image_id"].to_numpy(str)

    def real(count: int) -> Iterator[list[Picture]]:
        # Evenly spread over the split: the same ones every time.
        rows = np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int))
        for start in range(0, len(rows), _BATCH):
            yield pictures.read(ids[rows[start : start + _BATCH]].tolist())

    return Gates(tree, roles, groups, limits, real, resegment, appearance)
