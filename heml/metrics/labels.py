"""Which images count as the same: the label, an identity, or agreement in several attributes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from heml.images.groups import group_codes, known_attributes
from heml.metrics.metric_settings import MetricSettings


class TooFewLabels(ValueError):
    """No metric can be learned: there are not two label values with two train images each.

    Parameters
    ----------
    labels : int array (N,)
        Of the train split, -1 where unknown.
    columns : sequence of str
        Where they come from; empty for the source's label.
    """

    def __init__(self, labels: np.ndarray, columns: Sequence[str]) -> None:
        counts = np.bincount(labels[labels >= 0])
        where = f"metric.labels {', '.join(columns)}" if columns else "the label"
        super().__init__(
            f"{where}: the train split has {(counts > 0).sum()} different values, "
            f"{(counts > 1).sum()} of them on two or more of its {len(labels)} images; a metric "
            "needs two values with at least two images each in every cross-fitting fold: choose "
            "another column, or add images"
        )


def label_columns(settings: MetricSettings) -> list[str]:
    """Columns of the input that make the metric's labels; none for the source's label."""
    return list(settings.labels or ())


def metric_labels(index: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """What the metrics learn to tell apart, as codes.

    Two images are the same only if they agree in all columns: the metric then keeps every
    attribute apart, and each combination, however rare, is a label of its own.

    Parameters
    ----------
    index : DataFrame
        Column `label`, and the columns, as `image_index` gives them.
    columns : sequence of str
        None of them: the source's label.

    Returns
    -------
    int64 array (N,)
        0 and up; -1 where a value is missing. Such images are embedded, but not learned from.
    """
    chosen = list(columns) or ["label"]
    codes = group_codes(index, chosen)[0].astype(np.int64)
    codes[~known_attributes(index, chosen)] = -1
    return codes
