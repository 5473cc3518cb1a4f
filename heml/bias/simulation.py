"""Nodes with a known bias, to hold the measures against. Nothing of a pipeline run is made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from heml.metrics.artifacts import NodeMetric
from heml.metrics.folds import assign_folds


def simulated_index(counts: Mapping[tuple[str, ...], int], columns: Sequence[str]) -> pd.DataFrame:
    """Train records with exactly these groups.

    Parameters
    ----------
    counts : mapping of tuple of str to int
        Label and attribute values → records.
    columns : sequence of str
        Names of the attributes.
    """
    rows = [group for group, n in counts.items() for _ in range(n)]
    frame = pd.DataFrame(rows, columns=["label", *columns])
    ids = [f"record-{number:06d}" for number in range(len(frame))]
    return frame.assign(image_id=ids, split="train")


def simulated_node(
    index: pd.DataFrame,
    strengths: Mapping[str, float],
    seed: int,
    dimensions: int = 16,
    folds: int = 3,
    node: str = "node",
) -> NodeMetric:
    """A node whose embeddings hold columns as far as wanted, in the spaces of all folds alike.

    Every value of a column has an axis of its own, along which its records are shifted; two values
    share one axis. All else is standard normal noise.

    Parameters
    ----------
    strengths : mapping of str to float
        Column → distance between the means of two values, in standard deviations.
    """
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(len(index), dimensions))
    axis = 0
    for column, strength in strengths.items():
        values = np.unique(index[column].astype(str), return_inverse=True)[1]
        axes = int(values.max()) + 1
        if axes == 2:
            embeddings[:, axis] += strength * (values - 0.5)
            axes = 1
        else:
            embeddings[np.arange(len(index)), axis + values] += strength / np.sqrt(2)
        axis += axes
    groups = index.drop(columns=["image_id", "split"]).astype(str).agg("\x1f".join, axis=1)
    frame = pd.DataFrame(
        {
            "image_id": index["image_id"],
            "split": index["split"],
            "fold": assign_folds(groups.tolist(), folds, seed),
            "present": True,
        }
    )
    vectors = embeddings.astype(np.float32)
    return NodeMetric(node, frame, vectors, np.stack([vectors] * folds), [], {"state": "trained"})


def expected_auc(distance: float) -> float:
    """AUC of the best rule for two normal attributes whose means are this many deviations apart."""
    return float(norm.cdf(distance / np.sqrt(2)))
