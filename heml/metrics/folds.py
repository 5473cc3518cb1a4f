"""Cross-fitting folds of the train split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def assign_folds(strata: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """Folds in which every stratum is spread as evenly as its size allows.

    Unlike scikit-learn's `StratifiedKFold`, strata smaller than the number of folds are fine: a
    group of a biased dataset often has a handful of members.

    Parameters
    ----------
    strata : sequence of str, length N
    folds : int
    seed : int

    Returns
    -------
    int8 array (N,)
        Fold of each row, 0 to folds - 1.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(strata))
    by_stratum = order[np.argsort(np.asarray(strata, dtype=object)[order], kind="stable")]
    assigned = np.empty(len(strata), np.int8)
    assigned[by_stratum] = np.arange(len(strata)) % folds
    return assigned
