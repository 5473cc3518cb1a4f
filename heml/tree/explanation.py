"""What the tree says of a pair of images: node by node, and summed up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from heml.metrics.distance import Distance
from heml.tree.similarity import calibrate

#: States of a node in a pair.
COMPARED, UNTRAINED = "compared", "not trained"
ABSENT = {
    (False, False): "absent in both",
    (False, True): "absent in the first",
    (True, False): "absent in the second",
}


@dataclass(frozen=True)
class NodeExplanation:
    """What one node says of a pair.

    Parameters
    ----------
    node : str
    state : str
        "compared", "absent in both", "absent in the first", "absent in the second", or, where both
        have it, "not trained".
    forward, backward : float or None
        The node's distance d(a, b) and d(b, a), in [0, inf).
    distance : float or None
        Its bounded symmetric form, in [0, 1].
    threshold : float
        Equal error rate threshold of `distance`.
    similar : bool or None
        Whether the node calls the pair similar.
    contributions : dict
        Its share of the total of each similarity ("plain", "debiased").
    """

    node: str
    state: str
    forward: float | None
    backward: float | None
    distance: float | None
    threshold: float
    similar: bool | None
    contributions: dict[str, float]


@dataclass(frozen=True)
class PairExplanation:
    """A pair, node by node.

    Parameters
    ----------
    nodes : list of NodeExplanation
    totals : dict
        Sum of the contributions, per similarity.
    offsets : dict
        Total at which one label and two are equally likely, per similarity.
    probability_same : dict
        Probability that the pair is of one label, per similarity.
    """

    nodes: list[NodeExplanation]
    totals: dict[str, float]
    offsets: dict[str, float]
    probability_same: dict[str, float]

    def node(self, name: str) -> NodeExplanation:
        """One node's part.

        Raises
        ------
        KeyError
            If there is no such node.
        """
        return {node.node: node for node in self.nodes}[name]


def pair_distances(distance: Distance, a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Both directions of a distance and its bounded form between two embeddings, 0 if equal.

    Parameters
    ----------
    distance : Distance
    a, b : float arrays (D,)
    """
    first, second = (torch.from_numpy(np.asarray(x, np.float64))[None] for x in (a, b))
    return (
        float(distance.rowwise(first, second)),
        float(distance.rowwise(second, first)),
        float(distance.bounded_rowwise(first, second)),
    )


def explain_node(
    node: str,
    vectors: np.ndarray,
    present: np.ndarray,
    measure: Distance | None,
    threshold: float,
    weights: Mapping[str, tuple[float, float]],
) -> NodeExplanation:
    """What one node says of a pair.

    Parameters
    ----------
    node : str
    vectors : float32 array (2, D)
    present : bool array (2,)
    measure : Distance, optional
        None: the node is untrained.
    threshold : float
    weights : mapping of similarity to (distance, absence)
    """
    in_both = bool(present.all())
    measure = measure if in_both else None
    forward, backward, distance = (
        (None,) * 3 if measure is None else pair_distances(measure, *vectors)
    )
    calibrated = 0.0 if distance is None else calibrate(distance, threshold)
    one_absent = bool(present[0] != present[1])
    return NodeExplanation(
        node,
        COMPARED if measure else UNTRAINED if in_both else ABSENT[tuple(present.tolist())],
        forward,
        backward,
        distance,
        threshold,
        None if distance is None else distance < threshold,
        {
            which: float(weight * calibrated + absence * one_absent)
            for which, (weight, absence) in weights.items()
        },
    )
