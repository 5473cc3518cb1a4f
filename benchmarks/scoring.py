"""Scores that every method of a comparison gets by the same code, from its distances alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from statsmodels.stats.proportion import proportion_confint

from heml.metrics.knn import knn_votes


def ranking(
    distances: np.ndarray, query_labels: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Precision at 1 and MAP@R of a distance matrix (queries, references).

    Parameters
    ----------
    distances : float array (Q, N)
    query_labels, labels : int arrays (Q,), (N,)
    """

    def knn(query: object, k: int, reference: object, same: bool) -> tuple:
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        return torch.zeros(order.shape), torch.from_numpy(order)

    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        k="max_bin_count",
        device=torch.device("cpu"),
        knn_func=knn,
    )
    values = calculator.get_accuracy(
        torch.zeros(len(query_labels), 1),
        torch.from_numpy(query_labels),
        torch.zeros(len(labels), 1),
        torch.from_numpy(labels),
    )
    return {
        "p_at_1": float(values["precision_at_1"]),
        "map_at_r": float(values["mean_average_precision_at_r"]),
    }


def accuracy(
    distances: np.ndarray,
    query_labels: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    k: int,
) -> dict[str, float | str]:
    """kNN accuracy over groups: the worst with its 95% Wilson interval, and their mean.

    Parameters
    ----------
    distances : float array (Q, N)
    query_labels, labels : int arrays (Q,), (N,)
    groups : sequence of str, length Q
    k : int
    """
    votes = knn_votes(distances, labels, int(labels.max()) + 1, k)
    correct = votes.argmax(axis=1) == query_labels
    names, codes = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    hits, counts = np.bincount(codes, correct), np.bincount(codes)
    worst = int(np.argmin(hits / counts))
    low, high = proportion_confint(hits[worst], counts[worst], method="wilson")
    return {
        "worst_group_accuracy": float(hits[worst] / counts[worst]),
        "worst_low": float(low),
        "worst_high": float(high),
        "worst_group": str(names[worst]),
        "worst_n": int(counts[worst]),
        "average_accuracy": float(np.mean(hits / counts)),
    }
