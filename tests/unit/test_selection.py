"""Weights of the dataset's rows, by hand."""

from collections import Counter

import pytest

from heml.dataset.selection import Selection

OPEN, CLOSED = ("open", "light"), ("closed", "light")


def selection(**targets):
    return Selection(
        real=Counter({OPEN: 30, CLOSED: 10}),
        recombined=Counter({CLOSED: 10}),
        targets={OPEN: targets["open"], CLOSED: targets["closed"]} if targets else {},
    )


def test_cells_of_equal_targets_weigh_the_same():
    weights = selection(open=30, closed=30).weights()
    assert weights[OPEN] * 30 == pytest.approx(weights[CLOSED] * 20)
    assert weights[OPEN] * 30 + weights[CLOSED] * 20 == pytest.approx(50)


def test_cells_weigh_as_their_targets():
    """Two thirds and one third of 50 rows."""
    weights = selection(open=40, closed=20).weights()
    assert weights[OPEN] * 30 == pytest.approx(50 * 2 / 3)
    assert weights[CLOSED] * 20 == pytest.approx(50 / 3)


def test_cells_that_no_plan_knows_keep_their_share():
    assert selection().weights() == {OPEN: 1.0, CLOSED: 1.0}
