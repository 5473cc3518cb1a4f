"""Label kept: the debiased similarity still predicts the intended label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data_contracts import Column
from heml.recombination.gate import GATES, FittedGate, Gate, GateBatch, Judgment

if TYPE_CHECKING:
    from heml.recombination.judging.calibration import Calibration
    from heml.recombination.judging.limits import Limit


class LabelKept(FittedGate):
    """Votes of the nearest real images, parents left out.

    Parameters
    ----------
    limits : Limit
        Least share of the vote.
    nodes : frozenset of str
        Nodes with a weight in the debiased similarity.
    """

    def __init__(self, limits: Limit, nodes: frozenset[str]) -> None:
        self.limits = limits
        self.nodes = nodes

    def judge(self, batch: GateBatch) -> list[Judgment]:
        assert batch.tree is not None
        labels, votes = batch.tree.votes(batch.embedded, "label", "debiased", without=batch.parents)
        own = [v[labels.index(e["label"])] for v, e in zip(votes, batch.edits, strict=True)]
        return [Judgment({"gate_label": float(v)}, bool(v < self.limits.value)) for v in own]

    def describe(self) -> dict[str, Any]:
        return {"label_kept": self.limits.describe()}


def fit(calibration: Calibration, limits: Any) -> FittedGate:
    """The limit is that of `calibration.vote_limit` for the label."""
    similarity = calibration.tree.similarities["debiased"]
    weights = zip(similarity.nodes, similarity.distance, similarity.absence, strict=True)
    asked = frozenset(node for node, distance, absence in weights if distance or absence)
    return LabelKept(limits or calibration.vote_limit("label", None), asked)


GATES.register(
    Gate(
        name="label_kept",
        rank=10,
        question="Does the debiased similarity predict the intended label?",
        refusal="label no longer recognized",
        columns=(
            Column(
                "gate_label",
                pa.float32(),
                "Share of the vote of the label's nodes for the intended label.",
                nullable=True,
                at_least=0,
                at_most=1,
            ),
        ),
        fit=fit,
    )
)
