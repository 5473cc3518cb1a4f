"""Gates: what a recombined sample must pass. Each gives a number, a threshold and a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_contracts.recombined_samples import GATES
from heml.metrics.artifacts import NodeMetric
from heml.metrics.distances import node_distances
from heml.recombination.compose import Picture
from heml.recombination.roles import Roles
from heml.tree.tree import MetricTree

LABEL_KEPT, GROUP_CHANGED, IN_DISTRIBUTION, NOT_DUPLICATE = GATES

#: Quantile of a cell's held-out real images' distances that the distribution gate allows.
DISTRIBUTION_QUANTILE = 0.99
#: A sample with fewer visibly changed pixels than this share is a duplicate of its host.
LEAST_CHANGE = 0.002
#: A pixel is visibly changed if any channel differs by more than this (of 255).
VISIBLE = 8


@dataclass(frozen=True)
class Verdict:
    """Results of all gates for one sample.

    Parameters
    ----------
    label, group, distribution, change : float
        As the columns gate_* of the `recombined_samples` contract.
    reason : str
        Empty if all gates passed, otherwise the first that refused.
    """

    label: float
    group: float
    distribution: float
    change: float
    reason: str


def root_distance(distances: np.ndarray, k: int) -> np.ndarray:
    """Mean distance to the k nearest references, float array (Q,)."""
    k = min(k, distances.shape[1])
    return np.partition(distances, k - 1, axis=1)[:, :k].mean(axis=1)


def distribution_limit(root: NodeMetric, cells: np.ndarray, k: int) -> float:
    """How far from the others a real image that the network never saw lies at the root.

    Parameters
    ----------
    root : NodeMetric
    cells : int array (N,)
        Cell of each image. A scarce cell lies far from the others by nature, and its like is what
        recombination makes: the limit is that of the farthest cell.
    k : int
        Neighbours whose distance counts.

    Returns
    -------
    float
        The largest of the cells' quantiles over the train split, cross-fitted.
    """
    distances = np.full(len(cells), np.nan)
    for fold, embeddings in enumerate(root.cross_fitted):
        queries = (root.fold == fold) & root.present
        references = (root.fold != fold) & (root.fold >= 0) & root.present
        if queries.any() and references.any():
            measured = node_distances(
                embeddings[queries],
                embeddings[references],
                root.present[queries],
                root.present[references],
            )
            distances[queries] = root_distance(measured.distance, k)
    known = ~np.isnan(distances)
    limits = [
        np.quantile(distances[known & (cells == cell)], DISTRIBUTION_QUANTILE)
        for cell in np.unique(cells[known])
    ]
    return float(max(limits, default=1.0))


class Gates:
    """All gates for one dataset.

    Parameters
    ----------
    tree : MetricTree
    roles : Roles
    groups : sequence of str
        In the order of an edit's `groups`.
    limit : float
        From `distribution_limit`.
    """

    def __init__(self, tree: MetricTree, roles: Roles, groups: Sequence[str], limit: float) -> None:
        self._tree = tree
        self._roles = roles
        self._groups = list(groups)
        self._limit = max(limit, 1e-6)

    def judge(
        self, samples: Sequence[Picture], hosts: Sequence[Picture], edits: Sequence[Mapping]
    ) -> list[Verdict]:
        """Verdicts of a batch.

        Parameters
        ----------
        samples, hosts : sequence of Picture
        edits : sequence of mapping
            Rows of the `rebalance_plan` table.
        """
        tree = self._tree
        embedded = tree.embed([(s.image, s.masks) for s in samples])
        own = [[e["host_id"], e["donor_id"]] for e in edits]
        # Host and donor are left out: a sample always resembles what it was made of.
        labels, votes = tree.votes(embedded, "label", "debiased", without=own)
        label = np.array([v[labels.index(e["label"])] for v, e in zip(votes, edits, strict=True)])
        keeps = [v.argmax() == labels.index(e["label"]) for v, e in zip(votes, edits, strict=True)]

        group = np.ones(len(samples))
        changes = np.ones(len(samples), bool)
        for place, name in enumerate(self._groups):
            carriers = self._roles.group_carriers.get(name, ())
            if not carriers:
                continue
            parts = [tree.votes(embedded, name, node=n, without=own) for n in carriers]
            values, shares = parts[0][0], np.mean([v for _, v in parts], axis=0)
            wanted = np.array([values.index(e["groups"][place]) for e in edits])
            group = np.minimum(group, shares[np.arange(len(edits)), wanted])
            changes &= shares.argmax(axis=1) == wanted

        root = tree.taxonomy.root
        distances = tree.node_distances(root, embedded, tree.references).distance
        for row, ids in enumerate(own):
            distances[row, [tree.row(i) for i in ids]] = np.inf
        far = root_distance(distances, tree.neighbours) / self._limit
        change = np.array([_changed(s, h) for s, h in zip(samples, hosts, strict=True)])
        return [
            Verdict(
                float(label[i]),
                float(group[i]),
                float(far[i]),
                float(change[i]),
                _reason(keeps[i], changes[i], far[i], change[i]),
            )
            for i in range(len(samples))
        ]


def _changed(sample: Picture, host: Picture) -> float:
    difference = np.abs(sample.image.astype(int) - host.image.astype(int)).max(axis=-1)
    return float((difference > VISIBLE).mean())


def _reason(keeps: bool, changes: bool, far: float, change: float) -> str:
    if not keeps:
        return LABEL_KEPT
    if not changes:
        return GROUP_CHANGED
    if not np.isfinite(far) or far > 1:
        return IN_DISTRIBUTION
    if change < LEAST_CHANGE:
        return NOT_DUPLICATE
    return ""
