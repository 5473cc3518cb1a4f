"""In distribution: the whole image is as near to real images as they are to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data_contracts import Column
from heml.recombination.gate import GATES, FittedGate, Gate, GateBatch, Judgment

if TYPE_CHECKING:
    from heml.recombination.judging.calibration import Calibration
    from heml.recombination.judging.limits import Limit


class InDistribution(FittedGate):
    """Distance to the nearest real images at the root, over its limit.

    Parameters
    ----------
    limits : Limit
        Largest distance.
    root : str
        Node of the whole image.
    """

    def __init__(self, limits: Limit, root: str) -> None:
        self.limits = limits
        self.nodes = frozenset([root])
        self._root = root

    def judge(self, batch: GateBatch) -> list[Judgment]:
        from heml.recombination.judging.limits import root_distance

        tree = batch.tree
        assert tree is not None
        distances = tree.node_distances(self._root, batch.embedded, tree.references).distance
        for row, ids in enumerate(batch.parents):
            distances[row, tree.known_rows(ids)] = np.inf
        far = root_distance(distances, tree.neighbors) / self.limits.value
        finite = [float(f) if np.isfinite(f) else None for f in far]
        return [Judgment({"gate_distribution": f}, f is None or f > 1) for f in finite]

    def describe(self) -> dict[str, Any]:
        return {"in_distribution": self.limits.describe()}


def fit(calibration: Calibration, limits: Any) -> FittedGate:
    """The limit is that of `calibration.root_limit`."""
    return InDistribution(limits or calibration.root_limit(), calibration.tree.taxonomy.root)


GATES.register(
    Gate(
        name="in_distribution",
        rank=30,
        question="Does the whole image resemble real ones?",
        refusal="too far from real images",
        columns=(
            Column(
                "gate_distribution",
                pa.float32(),
                "Distance to the nearest real images at the root, over its calibrated limit.",
                nullable=True,
                at_least=0,
            ),
        ),
        fit=fit,
    )
)
