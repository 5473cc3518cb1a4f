"""The bias score of a node for an attribute: high only where it carries and is fooled."""

from __future__ import annotations

import numpy as np


def bias_score(leakage: np.ndarray | float, gap: np.ndarray | float) -> np.ndarray:
    """Geometric mean of how far a node carries the attribute and how far it is fooled by it.

    Carrying is `2 * AUC - 1` (0 at chance), being fooled is the accuracy lost from aligned to
    conflicting records of a label; either at or below 0 makes the score 0. A node that shows the
    attribute but judges the label rightly is harmless, and so is one that is merely bad at the
    label.

    Parameters
    ----------
    leakage : float or array
        Within-label AUC.
    gap : float or array
        In [-1, 1].

    Returns
    -------
    float array
        In [0, 1].
    """
    carries = np.clip(2 * np.asarray(leakage) - 1, 0, 1)
    return np.sqrt(carries * np.clip(gap, 0, 1))
