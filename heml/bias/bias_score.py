"""The bias score of a node: high only where it encodes the attribute and relies on it."""

from __future__ import annotations

import numpy as np


def bias_score(attribute_auc: np.ndarray | float, gap: np.ndarray | float) -> np.ndarray:
    """Geometric mean of how well a node encodes the attribute and how much it relies on it.

    Encoding is `2 * AUC - 1` (0 at chance), relying is the accuracy gap, lost from aligned to
    conflicting records of a label; either at or below 0 makes the score 0. A node that encodes the
    attribute but predicts the label correctly is harmless, and so is one that predicts the label
    poorly everywhere.

    Parameters
    ----------
    attribute_auc : float or array
        Within-label AUC.
    gap : float or array
        In [-1, 1].

    Returns
    -------
    float array
        In [0, 1].
    """
    encoded = np.clip(2 * np.asarray(attribute_auc) - 1, 0, 1)
    return np.sqrt(encoded * np.clip(gap, 0, 1))
