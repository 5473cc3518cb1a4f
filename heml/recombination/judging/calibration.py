"""What gates are calibrated on: held-out votes and distances of real train images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from heml.images.groups import group_codes
from heml.metrics.artifacts import NodeMetric, load_node, measured_images
from heml.recombination.attribution.roles import Roles
from heml.recombination.judging.limits import Limit, distribution_limit, held_out_votes
from heml.recombination.judging.limits import vote_limit as limit_of_votes
from heml.storage.run_context import RunContext
from heml.tree.metric_tree import MetricTree


@dataclass(frozen=True)
class Calibration:
    """What gates are fitted to.

    Parameters
    ----------
    run : RunContext
        Its attributes are in the order of an edit's.
    tree : MetricTree
    roles : Roles
    images : DataFrame
        All images of the store: columns image_id, split, label and the attributes.
    resegments : bool
        Whether a segmenter can look for segments again.
    """

    run: RunContext
    tree: MetricTree
    roles: Roles
    images: pd.DataFrame
    resegments: bool = False

    @cached_property
    def metrics(self) -> list[NodeMetric]:
        """All nodes, in the tree's order."""
        return [load_node(self.run.store, node) for node in self.tree.taxonomy.nodes]

    @cached_property
    def index(self) -> pd.DataFrame:
        """The images that nodes were measured on."""
        return measured_images(self.images, self.metrics[0])

    @cached_property
    def groups(self) -> np.ndarray:
        """Group of each measured image, int array (N,)."""
        return group_codes(self.index, ["label", *self.run.attributes])[0]

    def vote_limit(self, column: str, nodes: Sequence[str] | None) -> Limit:
        """Least share of the vote for a record's own value of a column.

        Parameters
        ----------
        column : str
            "label" or an attribute.
        nodes : sequence of str, optional
            Vote by these nodes, averaged; by the debiased similarity if None.
        """
        values = self.index[column].to_numpy(str)
        rows, votes = held_out_votes(self.tree, self.metrics, values, nodes)
        train = self.index.loc[self.index["split"] == "train"]
        return limit_of_votes(votes, self.groups[rows], train[column].nunique())

    def root_limit(self) -> Limit:
        """Largest distance to the nearest real images at the root."""
        root = self.metrics[self.tree.taxonomy.nodes.index(self.tree.taxonomy.root)]
        return distribution_limit(root, self.groups, self.tree.neighbors)
