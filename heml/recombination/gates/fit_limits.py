"""Setting the gates' limits from a store: held-out votes, distances and real pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from heml.images.groups import group_codes
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
    attributes: Sequence[str],
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
        All images of the store: columns image_id, split, label and the attributes.
    attributes : sequence of str
    pictures : PictureReader
        Kept by the gates, for limits that are set when they are first asked for.
    resegment : callable, optional
        Segments of images from their pixels, for the gate that looks for moved segments again.
    appearance : AppearanceLimits, optional
        Limits that other gates of the same store have measured.
    """
    metrics = [load_node(store, node) for node in tree.taxonomy.nodes]
    index = measured_images(index, metrics[0])
    groups, _ = group_codes(index, ["label", *attributes])
    root = metrics[tree.taxonomy.nodes.index(tree.taxonomy.root)]
    train = index.loc[index["split"] == "train"]

    def limit(column: str, nodes: Sequence[str] | None) -> Limit:
        rows, votes = held_out_votes(tree, metrics, index[column].to_numpy(str), nodes)
        return vote_limit(votes, groups[rows], train[column].nunique())

    limits = Limits(
        label=limit("label", None),
        attributes={
            attribute: limit(attribute, roles.attribute_nodes[attribute])
            for attribute in attributes
            if roles.attribute_nodes.get(attribute)
        },
        distribution=distribution_limit(root, groups, tree.neighbors),
    )
    ids = train["image_id"].to_numpy(str)

    def real(count: int) -> Iterator[list[Picture]]:
        # Evenly spread over the split: the same ones every time.
        rows = np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int))
        for start in range(0, len(rows), _BATCH):
            yield pictures.read(ids[rows[start : start + _BATCH]].tolist())

    return Gates(tree, roles, attributes, limits, real, resegment, appearance)
