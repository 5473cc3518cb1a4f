"""Calibration, pair weights and the additive similarity: planted truths come back."""

import numpy as np
import pytest

from heml.tree.similarity import (
    Similarity,
    calibrate,
    calibrate_node,
    equal_error,
    fit_similarity,
    pair_weights,
)


def test_threshold_separates_what_can_be_separated():
    distances = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    same = np.array([True, True, True, False, False, False])
    threshold, rate = equal_error(distances, same)
    assert 0.3 < threshold < 0.6
    assert rate == 0


def test_threshold_has_equal_errors():
    rng = np.random.default_rng(0)
    same = rng.random(4000) < 0.5
    distances = np.clip(np.where(same, 0.4, 0.5) + rng.normal(0, 0.1, 4000), 0, 1)
    threshold, rate = equal_error(distances, same)
    false = (distances[~same] < threshold).mean()
    missed = (distances[same] >= threshold).mean()
    assert false == pytest.approx(missed, abs=0.02)
    # Two normals a standard deviation apart: Φ(-1/2).
    assert rate == pytest.approx(0.3085, abs=0.02)


def test_weights_count_as_copies():
    distances = np.array([0.1, 0.2, 0.2, 0.5, 0.9])
    same = np.array([True, False, True, True, False])
    copies = np.array([3, 1, 2, 1, 4])
    weighted = equal_error(distances, same, copies)
    assert weighted == equal_error(np.repeat(distances, copies), np.repeat(same, copies))


def test_threshold_of_one_kind_of_pairs_is_a_number():
    threshold, rate = equal_error(np.array([0.2, 0.4]), np.array([True, True]))
    assert 0 < threshold < 1
    assert rate is None
    assert 0 < equal_error(np.zeros(0), np.zeros(0, bool))[0] < 1


def test_calibration_covers_the_true_error():
    rng = np.random.default_rng(3)
    labels, values = rng.integers(0, 2, 120), rng.normal(size=120)
    first, second = np.triu_indices(120, 1)
    same = labels[first] == labels[second]
    noise = np.abs(values[first] - values[second]) / 8  # knows nothing of the labels
    found = calibrate_node(np.clip(noise, 0, 1), first, second, same)
    assert found.pairs == len(first)
    assert found.error_low <= 0.5 <= found.error_high
    assert found.error_high - found.error_low < 0.2


def test_calibrated_distance():
    assert calibrate(np.array(0.0), 0.3) == 0
    assert calibrate(np.array(0.3), 0.3) == pytest.approx(0.5)


def test_balanced_weights_give_every_group_pair_the_same():
    first = np.array([0, 0, 0, 0, 1, 0])
    second = np.array([0, 0, 0, 1, 0, 2])
    same = np.array([True, True, True, True, True, False])
    weights = pair_weights(first, second, same, balanced=True)
    assert weights.sum() == pytest.approx(1)
    assert weights[same].sum() == pytest.approx(weights[~same].sum())
    # Groups (0, 0) three times, (0, 1) twice in either order.
    assert weights[:3].sum() == pytest.approx(weights[3:5].sum())


def test_plain_weights_count_pairs_as_often_as_they_occur():
    groups = np.array([0, 0, 1, 1])
    same = np.array([True, True, True, False])
    stands_for = np.array([6, 3, 1, 5])
    weights = pair_weights(groups, groups, same, False, stands_for)
    np.testing.assert_allclose(weights, [0.3, 0.15, 0.05, 0.5])


def test_fit_finds_the_node_that_matters_and_is_never_negative():
    rng = np.random.default_rng(0)
    same = rng.random(3000) < 0.5
    useful = np.where(same, 0.2, 0.6) + rng.normal(0, 0.1, 3000)
    noise = rng.random(3000)
    misleading = np.where(same, 0.6, 0.4) + rng.normal(0, 0.1, 3000)
    features = np.stack([useful, noise, misleading], axis=1)
    absent = np.zeros_like(features, bool)
    fitted = fit_similarity(("a", "b", "c"), features, absent, same, np.full(3000, 1 / 3000))
    assert fitted.distance[0] > 3
    assert fitted.distance[1] < 0.2
    assert fitted.distance[2] == 0
    assert (fitted.absence >= 0).all()


def test_absence_alone_can_carry_the_label():
    same = np.array([True, False] * 50)
    absent = ~same[:, None]
    fitted = fit_similarity(("hat",), np.zeros((100, 1)), absent, same, np.full(100, 0.01))
    assert fitted.absence[0] > 1


def test_round_trip():
    similarity = Similarity(("a", "b"), np.array([1.5, 0.0]), np.array([0.25, 1.0]), -0.5)
    again = Similarity.from_dict(similarity.to_dict())
    assert again.nodes == similarity.nodes
    np.testing.assert_array_equal(again.distance, similarity.distance)
    np.testing.assert_array_equal(again.absence, similarity.absence)
    assert again.offset == similarity.offset
