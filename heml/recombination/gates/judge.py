"""Gates: what a recombined sample must pass. Each gives a number, a limit and a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_contracts.recombined_samples import GATES
from heml.recombination.attribution.roles import Roles
from heml.recombination.gates.calibration import Limit, Resegment, root_distance
from heml.recombination.gates.pixel_gates import (
    ATTRIBUTE_CHANGED,
    IN_DISTRIBUTION,
    LABEL_KEPT,
    AppearanceGates,
    AppearanceLimits,
)
from heml.recombination.imaging.segmented_image import Picture, Recombined
from heml.tree.metric_tree import MetricTree


@dataclass(frozen=True)
class Verdict:
    """Results of all gates for one sample.

    Parameters
    ----------
    numbers : dict of str to float or None
        The columns gate_* of the `recombined_samples` contract; None where a gate was skipped.
    refused_by : tuple of str
        Every gate that refused, in the order of the gates.
    """

    numbers: Mapping[str, float | None]
    refused_by: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The first gate that refused, or nothing."""
        return self.refused_by[0] if self.refused_by else ""


@dataclass(frozen=True)
class Limits:
    """Limits of the gates that are the same for all samples.

    Parameters
    ----------
    label : Limit
        Least share of the vote.
    attributes : mapping of str to Limit
        Likewise, per attribute that has carriers.
    distribution : Limit
        Largest distance at the root.
    """

    label: Limit
    attributes: Mapping[str, Limit]
    distribution: Limit


class Gates:
    """All gates for one dataset.

    Parameters
    ----------
    tree : MetricTree
    roles : Roles
    attributes : sequence of str
        In the order of an edit's `attributes`.
    limits : Limits
    real : callable
        Gives some real train pictures in batches, the same in every call.
    resegment : callable, optional
        Segments of images from their pixels; without it no segment is looked for again.
    appearance : AppearanceLimits, optional
        Measured before, of the same real pictures.
    """

    def __init__(
        self,
        tree: MetricTree,
        roles: Roles,
        attributes: Sequence[str],
        limits: Limits,
        real: Callable[[int], Iterator[Sequence[Picture]]],
        resegment: Resegment | None = None,
        appearance: AppearanceLimits | None = None,
    ) -> None:
        self._tree = tree
        self._roles = roles
        self._attributes = list(attributes)
        self._limits = limits
        self._appearance = AppearanceGates(tree.taxonomy.classes_of, real, resegment, appearance)
        similarity = tree.similarities["debiased"]
        weights = zip(similarity.nodes, similarity.distance, similarity.absence, strict=True)
        asked = {node for node, distance, absence in weights if distance or absence}
        asked.update(node for nodes in roles.attribute_nodes.values() for node in nodes)
        asked.add(tree.taxonomy.root)
        #: Views of nodes that no gate asks need not be made.
        self._nodes = [node for node in tree.taxonomy.nodes if node in asked]

    @property
    def appearance(self) -> AppearanceLimits:
        """What `calibrate` measured."""
        return self._appearance.limits

    def calibrate(self, moved: Iterable[Sequence[str]]) -> None:
        """Sets the limits for edits of some nodes that depend on what is moved."""
        self._appearance.calibrate(moved)

    def judge(
        self,
        samples: Sequence[Recombined],
        hosts: Sequence[Picture],
        donors: Sequence[Picture],
        edits: Sequence[Mapping[str, Any]],
    ) -> list[Verdict]:
        """Verdicts of a batch.

        Parameters
        ----------
        samples : sequence of Recombined
        hosts, donors : sequence of Picture
        edits : sequence of mapping
            Rows of the `rebalance_plan` table.
        """
        tree, limits = self._tree, self._limits
        embedded = tree.embed([(s.image, s.masks) for s in samples], self._nodes)
        own = [[e["host_id"], e["donor_id"]] for e in edits]
        # Host and donor are left out: a sample always resembles what it was made of.
        labels, votes = tree.votes(embedded, "label", "debiased", without=own)
        label = np.array([v[labels.index(e["label"])] for v, e in zip(votes, edits, strict=True)])

        attribute = np.ones(len(samples))
        changes = np.ones(len(samples), bool)
        for place, name in enumerate(self._attributes):
            carriers = self._roles.attribute_nodes.get(name, ())
            if not carriers:
                continue
            parts = [tree.votes(embedded, name, node=n, without=own) for n in carriers]
            values, shares = parts[0][0], np.mean([v for _, v in parts], axis=0)
            wanted = np.array([values.index(e["attributes"][place]) for e in edits])
            vote = shares[np.arange(len(edits)), wanted]
            attribute = np.minimum(attribute, vote)
            changes &= vote >= limits.attributes[name].value

        root = tree.taxonomy.root
        distances = tree.node_distances(root, embedded, tree.references).distance
        for row, ids in enumerate(own):
            distances[row, tree.known_rows(ids)] = np.inf
        far = root_distance(distances, tree.neighbors) / limits.distribution.value

        looks = self._appearance.judge(samples, hosts, donors, edits)
        verdicts = []
        for i, (numbers, refused) in enumerate(looks):
            finite = float(far[i]) if np.isfinite(far[i]) else None
            failed = {
                LABEL_KEPT: label[i] < limits.label.value,
                ATTRIBUTE_CHANGED: not changes[i],
                IN_DISTRIBUTION: finite is None or finite > 1,
            } | refused
            votes_and_distance = {
                "gate_label": float(label[i]),
                "gate_attribute": float(attribute[i]),
                "gate_distribution": finite,
            }
            verdicts.append(
                Verdict(votes_and_distance | numbers, tuple(g for g in GATES if failed.get(g)))
            )
        return verdicts

    def describe(self) -> dict[str, Any]:
        """Limits, the share of real images that each refuses, and behind how many images."""
        limits = {LABEL_KEPT: self._limits.label, IN_DISTRIBUTION: self._limits.distribution}
        limits |= {
            f"{ATTRIBUTE_CHANGED}/{g}": limit for g, limit in self._limits.attributes.items()
        }
        described = {
            name: {"limit": limit.value, "refused_of_real": limit.refused, "n": limit.n}
            for name, limit in limits.items()
        }
        return _rounded(described | self._appearance.describe())


def _rounded(value: Any) -> Any:
    """Floats to four digits and NaN as null, for the manifest."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value
