"""Weights against edit marks: planted marks lose the label, groups keep their mass."""

import io

import numpy as np
import pytest
from PIL import Image

from heml.audit.mark_scores import MarkedRow, mark_scores
from heml.dataset.mark_balance import MOST, balancing_factors
from heml.recombination.plan.real_shares import MOST_APART, shares_of_real


def test_labels_get_the_same_scores():
    """Two labels, scores .1 and .9: 80 : 20 and 40 : 60 rows become 60 : 40 in both."""
    scores = np.repeat([0.1, 0.9, 0.1, 0.9], [80, 20, 40, 60])
    groups = [("a", "x")] * 100 + [("b", "x")] * 100
    factors = balancing_factors(scores, groups, np.ones(200))
    shares = [factors[:80].sum() / 100, factors[100:140].sum() / 100]
    assert shares[0] == pytest.approx(0.6, abs=0.02)
    assert shares[1] == pytest.approx(0.6, abs=0.02)
    for own in (factors[:100], factors[100:]):
        assert own.sum() == pytest.approx(100)


def test_attribute_values_are_balanced_by_themselves():
    scores = np.repeat([0.1, 0.9, 0.9, 0.1], 50)
    groups = [("a", "x")] * 50 + [("b", "x")] * 50 + [("a", "y")] * 50 + [("b", "y")] * 50
    factors = balancing_factors(scores, groups, np.ones(200))
    # Every row of a group has one score: nothing can be evened out, and no group changes.
    np.testing.assert_allclose(factors, 1)


def test_factors_are_bounded_and_few_rows_are_left_alone():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.beta(1, 8, 300), rng.beta(8, 1, 300)])
    groups = [("a", "x")] * 300 + [("b", "x")] * 300
    factors = balancing_factors(scores, groups, np.ones(600))
    assert factors.max() / factors.min() <= MOST**2 + 1e-9
    few = balancing_factors(scores[280:320], groups[280:320], np.ones(40))
    np.testing.assert_allclose(few, 1)


def encoded(rng, mark: bool) -> bytes:
    pixels = rng.integers(60, 180, (1, 1, 3)) + rng.normal(0, 6, (32, 32, 3))
    if mark:
        pixels[::2, ::2] += 40
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_planted_mark_is_scored_high_by_detectors_that_did_not_see_it():
    rng = np.random.default_rng(1)
    rows = [
        MarkedRow(f"row-{n}", f"family-{n % 60}", n % 2 == 1, encoded(rng, n % 2 == 1))
        for n in range(240)
    ]
    scores = mark_scores(lambda: rows, len(rows))
    assert scores == mark_scores(lambda: rows, len(rows))
    made = [scores[row.row_id] for row in rows if row.recombined]
    real = [scores[row.row_id] for row in rows if not row.recombined]
    assert np.mean(np.array(made)[:, None] > np.array(real)) > 0.9


def test_one_kind_of_row_alone_has_no_scores():
    rng = np.random.default_rng(2)
    rows = [MarkedRow(f"row-{n}", f"family-{n}", True, encoded(rng, True)) for n in range(30)]
    assert mark_scores(lambda: rows, len(rows)) == {}


def test_real_rows_have_one_share_of_every_label_of_an_attribute_value():
    real, made = {("a", "x"): 100, ("b", "x"): 50}, {("a", "x"): 100, ("b", "x"): 100}
    shares = shares_of_real(real, made)
    assert shares["a", "x"] == pytest.approx(shares["b", "x"])
    # Six rows cannot weigh as much as a hundred.
    shares = shares_of_real({("a", "x"): 100, ("b", "x"): 6}, {("b", "x"): 194})
    assert shares["a", "x"] == 1
    assert shares["b", "x"] == pytest.approx(6 * MOST_APART / (6 * MOST_APART + 194))
