"""Attribute changed: the segments that encode the attribute show the intended value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data_contracts import Column
from heml.recombination.gate import GATES, FittedGate, Gate, GateBatch, Judgment

if TYPE_CHECKING:
    from heml.recombination.judging.calibration import Calibration
    from heml.recombination.judging.limits import Limit


class AttributeChanged(FittedGate):
    """Votes of each attribute's nodes, averaged; the least over attributes.

    Parameters
    ----------
    limits : dict of str to Limit
        Least share of the vote, per attribute that has nodes.
    attributes : sequence of str
        In the order of an edit's `attributes`.
    encoding : mapping of str to sequence of str
        Attribute → its nodes.
    """

    def __init__(
        self,
        limits: dict[str, Limit],
        attributes: Sequence[str],
        encoding: Mapping[str, Sequence[str]],
    ) -> None:
        self.limits = limits
        self.nodes = frozenset(node for nodes in encoding.values() for node in nodes)
        self._attributes = attributes
        self._encoding = encoding

    def judge(self, batch: GateBatch) -> list[Judgment]:
        tree = batch.tree
        assert tree is not None
        least = np.ones(len(batch.samples))
        changed = np.ones(len(batch.samples), bool)
        for place, name in enumerate(self._attributes):
            encoding = self._encoding.get(name, ())
            if not encoding:
                continue
            parts = [
                tree.votes(batch.embedded, name, node=n, without=batch.parents) for n in encoding
            ]
            values, shares = parts[0][0], np.mean([v for _, v in parts], axis=0)
            wanted = np.array([values.index(e["attributes"][place]) for e in batch.edits])
            vote = shares[np.arange(len(batch.edits)), wanted]
            least = np.minimum(least, vote)
            changed &= vote >= self.limits[name].value
        return [
            Judgment({"gate_attribute": float(vote)}, not kept)
            for vote, kept in zip(least, changed, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        return {f"attribute_changed/{g}": limit.describe() for g, limit in self.limits.items()}


def fit(calibration: Calibration, limits: Any) -> FittedGate:
    """The limits are those of `calibration.vote_limit` for each attribute's nodes."""
    encoding = calibration.roles.attribute_nodes
    asked = [name for name in calibration.run.attributes if encoding.get(name)]
    limits = limits or {name: calibration.vote_limit(name, encoding[name]) for name in asked}
    return AttributeChanged(limits, calibration.run.attributes, encoding)


GATES.register(
    Gate(
        name="attribute_changed",
        rank=20,
        question="Do the segments that encode the attribute show the intended one?",
        refusal="attribute not recognized",
        columns=(
            Column(
                "gate_attribute",
                pa.float32(),
                "Share of the vote of the carrying nodes for the intended attribute, least over "
                "attributes.",
                nullable=True,
                at_least=0,
                at_most=1,
            ),
        ),
        fit=fit,
    )
)
