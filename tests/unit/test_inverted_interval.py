"""Intervals from inverted tests hold the truth as often as they say, also without association."""

import numpy as np
import pytest
from scipy.stats import binom

from heml.bias import tables
from heml.bias.inverted_interval import from_equal_shares, from_independence, inverted_intervals

TRIALS = 40
#: Fewer hits of a 95% interval have a chance of one in a thousand.
FEWEST = int(binom.ppf(0.001, TRIALS, 0.95))


def divergence(name, target):
    def statistic(given):
        return tables.divergences(given, target(given))[name]

    return statistic, statistic


MEASURES = {
    "cramers_v": (tables.cramers_v, tables.cramers_v),
    "nmi": (tables.normalized_mutual_information,) * 2,
    **{name: divergence(name, tables.independent) for name in ("kl", "js", "tv")},
}
EQUAL = {name: divergence(name, tables.equal) for name in ("kl", "js", "tv")}


@pytest.mark.parametrize("strength", [0, 0.3, 0.9])
@pytest.mark.parametrize("n", [60, 400])
def test_the_truth_is_inside_as_often_as_it_should(strength, n):
    truth = (1 - strength) * np.outer([0.3, 0.7], [0.6, 0.4]) + strength * np.array(
        [[0, 0.3], [0.6, 0.1]]
    )
    rng = np.random.default_rng(0)
    hits = dict.fromkeys(MEASURES, 0)
    for table in rng.multinomial(n, truth.ravel(), TRIALS).reshape(-1, 2, 2):
        found = inverted_intervals(table, from_independence(table), MEASURES, 100, rng)
        for name, (low, high) in found.items():
            hits[name] += low - 1e-9 <= MEASURES[name][1](truth * 1e9) <= high + 1e-9
    assert min(hits.values()) >= FEWEST, hits


@pytest.mark.parametrize("shares", [[[1, 1], [1, 1]], [[3, 1], [2, 2]]])
def test_distances_to_equal_shares_hold_the_truth_too(shares):
    truth, rng = np.array(shares) / np.sum(shares), np.random.default_rng(0)
    hits = dict.fromkeys(EQUAL, 0)
    for table in rng.multinomial(200, truth.ravel(), TRIALS).reshape(-1, 2, 2):
        found = inverted_intervals(table, from_equal_shares(table), EQUAL, 100, rng)
        for name, (low, high) in found.items():
            hits[name] += low - 1e-9 <= EQUAL[name][1](truth) <= high + 1e-9
    assert min(hits.values()) >= FEWEST, hits


def test_paths_lead_from_no_association_through_the_table_to_all_there_can_be():
    table = np.array([[30, 20], [10, 40]])
    path = from_independence(table).shares
    np.testing.assert_allclose(path[0], np.outer([0.5, 0.5], [0.4, 0.6]))
    np.testing.assert_allclose(path[-1], [[0.4, 0.1], [0, 0.5]], atol=1e-12)
    np.testing.assert_allclose(path.sum(2), 0.5)
    v = tables.cramers_v(path * 1e9)
    assert (np.diff(v) > -1e-6).all()
    assert v[0] < tables.cramers_v(table) < v[-1]
    equal = from_equal_shares(table).shares
    np.testing.assert_allclose(equal[0], 0.25)
    np.testing.assert_allclose(equal[-1], [[0, 0], [0, 1]], atol=1e-12)


@pytest.mark.parametrize("table", [[[10, 10]], [[5, 0], [7, 0]], [[1, 0], [0, 0]], [[25, 25]] * 2])
def test_tables_without_association_have_intervals_from_zero(table):
    table = np.array(table)
    rng = np.random.default_rng(0)
    found = inverted_intervals(table, from_independence(table), MEASURES, 100, rng)
    assert all(0 <= low <= 1e-6 and low <= high <= 1 for low, high in found.values())
    if min(table.shape) == 1 or not table.any(0).all():
        assert all(high <= 1e-6 for _, high in found.values())


def test_complete_association_is_the_upper_end():
    table = np.array([[50, 0], [0, 50]])
    rng = np.random.default_rng(0)
    found = inverted_intervals(table, from_independence(table), MEASURES, 100, rng)
    low, high = found["cramers_v"]
    assert 0.85 < low < 1
    assert high == pytest.approx(1, abs=1e-6)
