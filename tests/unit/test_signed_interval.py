"""Intervals of signed measures: published examples, and how often they hold the truth."""

import numpy as np
import pytest
from scipy.stats import binom

from heml.bias import tables
from heml.bias.measure import MEASURES
from heml.bias.signed_interval import (
    class_imbalance_interval,
    label_difference_interval,
    npmi_interval,
)

RNG = np.random.default_rng(0)


def test_difference_of_proportions_as_newcombe_published_it():
    # 56 of 70 against 48 of 80 (Newcombe 1998, table II, example a, method 10).
    table = np.array([[48, 56], [32, 14]])
    low, high = label_difference_interval(table, 0, RNG)
    assert (low[0, 0], high[0, 0]) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    # The other way round, and the other label, are the same with the other sign.
    assert (low[0, 1], high[1, 0]) == pytest.approx((-0.3339, -0.0524), abs=5e-5)


def test_class_imbalance_is_wilsons_interval_of_a_share():
    low, high = class_imbalance_interval(np.array([[40, 5], [41, 14]]), 0, RNG)
    # 81 of 100: Wilson's interval is 0.7222 to 0.8749.
    assert (low[0], high[0]) == pytest.approx((1 - 2 * 0.8749, 1 - 2 * 0.7222), abs=1e-3)
    np.testing.assert_allclose(low, -high[::-1])


def test_an_empty_group_may_be_there_in_truth():
    low, high = npmi_interval(np.array([[0, 20], [20, 20]]), 200, np.random.default_rng(0))
    assert low[0, 0] == -1
    assert -1 < high[0, 0] < 0
    assert low[0, 1] > 0


def test_what_is_undefined_has_no_interval():
    table = np.array([[5, 0], [5, 0]])
    for interval in (npmi_interval, label_difference_interval):
        low, high = interval(table, 50, np.random.default_rng(0))
        assert np.isnan(low[:, 1]).all()
        assert np.isnan(high[:, 1]).all()
    low, high = npmi_interval(np.array([[7]]), 50, np.random.default_rng(0))
    assert low[0, 0] == high[0, 0] == 0


@pytest.mark.parametrize(
    "shares", [[[0.15, 0.25], [0.23, 0.37]], [[0.4, 0.02], [0.1, 0.48]], [[0.01, 0.3], [0.3, 0.39]]]
)
def test_the_truth_is_inside_as_often_as_it_should(shares):
    shares, rng, trials = np.array(shares), np.random.default_rng(0), 80
    fewest = int(binom.ppf(0.001, trials, 0.95))
    chosen = [measure for measure in MEASURES if measure.interval is not None]
    assert {"npmi", "label_difference", "class_imbalance"} <= {m.name for m in chosen}
    hits = {measure.name: 0 for measure in chosen}
    for table in rng.multinomial(120, shares.ravel(), trials).reshape(-1, 2, 2):
        for measure in chosen:
            truth = measure.statistic(shares * 1e9)
            low, high = measure.interval(table, 100, rng)
            hits[measure.name] += (low - 1e-9 <= truth) & (truth <= high + 1e-9)
    assert {name: (count >= fewest).all() for name, count in hits.items()} == dict.fromkeys(
        hits, True
    ), hits


def test_reported_intervals_hold_their_estimates():
    table = np.array([[30, 3, 7], [4, 40, 0]])
    for measure in (m for m in MEASURES if m.interval is not None):
        low, high = measure.interval(table, 100, np.random.default_rng(0))
        value = measure.statistic(table)
        assert low.shape == high.shape == value.shape
        assert (low <= value + 0.02).all()
        assert (value <= high + 0.02).all()
    assert tables.pointwise(table)[1, 2] == -1
