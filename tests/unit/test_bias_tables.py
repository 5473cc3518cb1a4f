"""Statistics of label × attribute tables: closed forms, libraries' values, invariants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2_contingency
from scipy.stats.contingency import association as uncorrected
from sklearn.metrics import normalized_mutual_info_score

from heml.bias import tables

COUNTS = arrays(int, st.tuples(st.integers(2, 4), st.integers(2, 4)), elements=st.integers(1, 50))


def test_cramers_v_of_planted_tables():
    assert tables.cramers_v(np.array([[500, 0], [0, 500]])) == pytest.approx(1, abs=0.01)
    assert tables.cramers_v(np.array([[250, 250], [250, 250]])) == 0
    assert tables.cramers_v(np.array([[450, 50], [50, 450]])) == pytest.approx(0.8, abs=0.01)
    assert tables.cramers_v(np.array([[10, 10]])) == 0
    assert tables.cramers_v(np.zeros((2, 2), int)) == 0


@given(COUNTS)
def test_cramers_v_is_corrected_downwards_from_scipys(table):
    n, (rows, columns) = table.sum(), table.shape
    ours = tables.cramers_v(table)
    assert 0 <= ours <= 1
    assert ours <= uncorrected(table, method="cramer") + 0.15
    phi2 = max(chi2_contingency(table, correction=False).statistic / n
               - (rows - 1) * (columns - 1) / (n - 1), 0)  # fmt: skip
    most = min(k - (k - 1) ** 2 / (n - 1) for k in (rows, columns)) - 1
    assert ours == pytest.approx(min(np.sqrt(phi2 / most), 1), abs=1e-6)


@given(COUNTS)
def test_many_tables_at_once_are_the_same_as_one_after_the_other(table):
    both = np.stack([table, table[::-1]])
    for statistic in (tables.cramers_v, tables.normalized_mutual_information, tables.pointwise,
                      tables.label_differences, tables.class_imbalance):  # fmt: skip
        np.testing.assert_allclose(statistic(both)[1], statistic(table[::-1]))


@given(COUNTS)
def test_mutual_information_is_scikit_learns_and_the_divergence_from_independence(table):
    rows, columns = np.indices(table.shape)
    flat = [np.repeat(codes.ravel(), table.ravel()) for codes in (rows, columns)]
    ours = tables.normalized_mutual_information(table)
    assert ours == pytest.approx(normalized_mutual_info_score(*flat), abs=1e-9)
    shares = table / table.sum()
    by_hand = (shares * np.log(shares / np.outer(shares.sum(1), shares.sum(0)))).sum()
    assert tables.mutual_information(table) == pytest.approx(by_hand, abs=1e-12)


def test_pointwise_by_hand():
    npmi = tables.pointwise(np.array([[40, 10], [0, 50]]))
    assert npmi[0, 0] == pytest.approx(np.log(0.4 / (0.5 * 0.4)) / -np.log(0.4))
    assert npmi[1, 0] == -1
    assert tables.pointwise(np.array([[5, 0], [0, 5]])).tolist() == [[1, -1], [-1, 1]]
    assert np.isnan(tables.pointwise(np.array([[5, 0], [5, 0]]))[:, 1]).all()
    np.testing.assert_allclose(tables.pointwise(np.array([[20, 40], [10, 20]])), 0, atol=1e-12)


def test_divergences_by_hand():
    table = np.array([[50, 0], [0, 50]])
    far = tables.divergences(table, tables.equal(table))
    assert far["kl"] == pytest.approx(np.log(2))
    assert far["tv"] == 0.5
    assert far["js"] == pytest.approx(np.log(2) - (np.log(3) * 0.75 - np.log(2) * 0.5), abs=1e-9)


@given(COUNTS)
def test_divergences_keep_their_bounds(table):
    for target in (tables.equal(table), tables.independent(table)):
        far = tables.divergences(table, target)
        assert 0 <= far["js"] <= np.log(2) + 1e-12
        assert 0 <= far["tv"] <= 1
        # Pinsker: total variation is at most the root of half the divergence.
        assert far["tv"] <= np.sqrt(far["kl"] / 2) + 1e-9


def test_imbalance_and_label_differences_by_hand():
    table = np.array([[30, 10], [10, 50]])
    assert tables.class_imbalance(table).tolist() == pytest.approx([0.2, -0.2])
    differences = tables.label_differences(table)
    assert differences[0, 0] == pytest.approx(10 / 60 - 30 / 40)
    assert differences[0].sum() == pytest.approx(0)
    assert np.isnan(tables.label_differences(np.array([[3], [4]]))).all()


def test_resampled_and_permuted_tables_keep_what_they_should():
    table, rng = np.array([[40, 5, 0], [3, 10, 30]]), np.random.default_rng(0)
    drawn = tables.resampled_tables(table, 2000, rng)
    assert (drawn.sum((1, 2)) == 88).all()
    np.testing.assert_allclose(drawn.mean(0), table, atol=0.7)
    shuffled = tables.permuted_tables(table, 2000, rng)
    assert (shuffled.sum(2) == table.sum(1)).all()
    assert (shuffled.sum(1) == table.sum(0)).all()
    np.testing.assert_allclose(shuffled.mean(0), tables.independent(table) * 88, atol=0.7)


def test_p_values_are_never_zero_and_ties_count():
    null = np.array([1.0, 2.0, 3.0])
    assert tables.p_value(9, null) == 0.25
    assert tables.p_value(2, null) == 0.75


def test_intervals_hold_their_value_and_pass_over_undefined_draws():
    draws = np.array([[0.1, np.nan], [0.2, np.nan], [0.3, np.nan]])
    low, high = tables.interval(draws, np.array([0.5, 0.7]))
    assert high.tolist() == [0.5, 0.7]
    assert low[0] < 0.11
    assert low[1] == 0.7
