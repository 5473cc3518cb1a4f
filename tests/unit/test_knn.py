"""kNN votes: by hand, with ties, and their invariants."""

import numpy as np
import pytest

from heml.metrics.knn import knn_votes


def test_votes_by_hand():
    distances = np.array([[0.1, 0.2, 0.9, 0.3]])
    votes = knn_votes(distances, np.array([0, 1, 1, 1]), classes=2, k=3)
    np.testing.assert_allclose(votes, [[1 / 3, 2 / 3]])


def test_ties_vote_by_their_frequencies_whatever_their_order():
    labels = np.array([0, 0, 0, 1])
    expected = [[0.75, 0.25]]
    np.testing.assert_allclose(knn_votes(np.zeros((1, 4)), labels, 2, k=1), expected)
    np.testing.assert_allclose(knn_votes(np.zeros((1, 4)), labels[::-1], 2, k=2), expected)


def test_a_nearer_reference_counts_whole_beside_ties():
    distances = np.array([[0.0, 1.0, 1.0]])
    votes = knn_votes(distances, np.array([0, 1, 1]), classes=2, k=2)
    np.testing.assert_allclose(votes, [[0.5, 0.5]])


def test_k_is_capped_and_rows_sum_to_one():
    rng = np.random.default_rng(0)
    votes = knn_votes(rng.random((6, 3)), np.array([0, 1, 2]), classes=3, k=10)
    np.testing.assert_allclose(votes, 1 / 3)


def test_without_references_is_an_error():
    with pytest.raises(ValueError, match="at least one reference"):
        knn_votes(np.zeros((1, 0)), np.zeros(0, int), 2, 3)


def test_excluded_references_never_vote():
    distances = np.array([[np.inf, 0.2, np.inf, 0.4], [np.inf] * 4, [0.1, 0.2, 0.3, np.inf]])
    votes = knn_votes(distances, np.array([0, 1, 0, 1]), classes=2, k=3)
    np.testing.assert_allclose(votes, [[0, 1], [0, 0], [2 / 3, 1 / 3]])
