"""How well a node's metric ranks images of the same label first."""

from __future__ import annotations

import numpy as np
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN

from heml.metrics.distance import Distance
from heml.metrics.library_distances import BoundedLibraryDistance

#: Of more queries or references some are drawn: all distances of them are held in memory.
MOST_QUERIES, MOST_REFERENCES = 1_000, 20_000


def evaluate(
    queries: np.ndarray,
    query_labels: np.ndarray,
    references: np.ndarray,
    labels: np.ndarray,
    distance: Distance,
) -> dict[str, float]:
    """Precision at 1 and mean average precision at R (Musgrave et al., ECCV 2020).

    Of large sets a part is looked at: memory and time do not grow with the dataset.

    Parameters
    ----------
    queries : float array (Q, D)
    query_labels : int array (Q,)
    references : float array (N, D), disjoint from the queries
    labels : int array (N,)
    distance : Distance
        What the network was trained with.

    Returns
    -------
    dict
        precision_at_1 and mean_average_precision_at_r; distance_same_label and
        distance_different_label, the mean bounded distances of pairs of one label and of two. Each
        in [0, 1]; the last is missing if there is one label alone.
    """
    queries, query_labels = _some(queries, query_labels, MOST_QUERIES)
    references, labels = _some(references, labels, MOST_REFERENCES)
    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        k="max_bin_count",
        device=torch.device("cpu"),
        knn_func=CustomKNN(BoundedLibraryDistance(distance)),
    )
    result = calculator.get_accuracy(
        torch.from_numpy(queries),
        torch.from_numpy(query_labels),
        torch.from_numpy(references),
        torch.from_numpy(labels),
    )
    found = {name: float(value) for name, value in result.items()}
    return found | _mean_distances(
        distance, queries, query_labels, *_some(references, labels, MOST_QUERIES)
    )


def _mean_distances(
    distance: Distance,
    queries: np.ndarray,
    query_labels: np.ndarray,
    references: np.ndarray,
    labels: np.ndarray,
) -> dict[str, float]:
    measured = distance.bounded_pairwise(
        torch.from_numpy(queries), torch.from_numpy(references)
    ).numpy()
    same = query_labels[:, None] == labels[None, :]
    kinds = {"distance_same_label": same, "distance_different_label": ~same}
    return {name: float(measured[kind].mean()) for name, kind in kinds.items() if kind.any()}


def _some(rows: np.ndarray, labels: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    if len(rows) <= most:
        return rows, labels
    chosen = np.sort(np.random.default_rng(len(rows)).choice(len(rows), most, replace=False))
    return rows[chosen], labels[chosen]
