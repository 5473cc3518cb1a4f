"""How well a node's metric ranks images of the same label first."""

from __future__ import annotations

import numpy as np
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN

from heml.metrics.losses import ranking_distance


def evaluate(
    queries: np.ndarray,
    query_labels: np.ndarray,
    references: np.ndarray,
    labels: np.ndarray,
    distance: str = "snr",
) -> dict[str, float]:
    """Precision at 1 and mean average precision at R (Musgrave et al., ECCV 2020).

    Parameters
    ----------
    queries : float array (Q, D)
    query_labels : int array (Q,)
    references : float array (N, D), disjoint from the queries
    labels : int array (N,)
    distance : str, default "snr"
        What the network was trained with.

    Returns
    -------
    dict
        precision_at_1 and mean_average_precision_at_r, each in [0, 1].
    """
    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        k="max_bin_count",
        device=torch.device("cpu"),
        knn_func=CustomKNN(ranking_distance(distance)),
    )
    result = calculator.get_accuracy(
        torch.from_numpy(queries),
        torch.from_numpy(query_labels),
        torch.from_numpy(references),
        torch.from_numpy(labels),
    )
    return {name: float(value) for name, value in result.items()}
