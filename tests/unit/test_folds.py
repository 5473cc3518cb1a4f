"""Folds spread every stratum evenly."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from heml.metrics.folds import assign_folds


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=60),
    st.integers(2, 5),
    st.integers(0, 100),
)
def test_strata_differ_by_at_most_one_between_folds(strata, folds, seed):
    assigned = assign_folds(strata, folds, seed)
    for stratum in set(strata):
        counts = np.bincount(assigned[np.array(strata) == stratum], minlength=folds)
        assert counts.max() - counts.min() <= 1
    counts = np.bincount(assigned, minlength=folds)
    assert counts.max() - counts.min() <= 1


def test_seed_decides():
    strata = ["a"] * 20
    assert (assign_folds(strata, 3, 1) == assign_folds(strata, 3, 1)).all()
    assert (assign_folds(strata, 3, 1) != assign_folds(strata, 3, 2)).any()
