"""The benchmarks' own arithmetic, by hand."""

import numpy as np
import pytest
import torch
from statsmodels.stats.proportion import proportion_confint

from benchmarks import scoring
from benchmarks.baseline_whole_image import library_loss, training_step, whole_image_network
from benchmarks.clock import covered, fastest, peak_tensor_bytes
from benchmarks.level_training import GroupedNetwork
from benchmarks.snr_speed import snr_speed
from heml.metrics.node_network import new_network


def test_ranking_by_hand():
    distances = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.3, 0.2]])
    scores = scoring.ranking(distances, np.array([0, 0]), np.array([0, 1, 0, 1]))
    # First query: its label at ranks 1 and 3; of R = 2 ranks, precision 1 and then no hit.
    # Second query: 1, 1, 0, 0 in order, no hit within R.
    assert scores["p_at_1"] == pytest.approx(0.5)
    assert scores["map_at_r"] == pytest.approx((1 / 2 + 0) / 2)


def test_worst_group_by_hand():
    distances = np.array([[0, 1], [0, 1], [1, 0], [0, 1]], float)
    labels, asked = np.array([0, 1]), np.array([0, 0, 1, 1])
    scores = scoring.accuracy(distances, asked, labels, ["a", "a", "b", "b"], k=1)
    assert (scores["worst_group"], scores["worst_group_accuracy"]) == ("b", 0.5)
    assert (scores["worst_low"], scores["worst_high"]) == proportion_confint(1, 2, method="wilson")
    assert scores["average_accuracy"] == 0.75


def test_peak_is_of_tensors_that_live_at_once():
    def work() -> torch.Tensor:
        first = torch.ones(1000, 1000)
        total = first.sum()
        del first
        return torch.ones(500, 1000) * total

    assert 4_000_000 <= peak_tensor_bytes(work) <= 4_100_000


def test_the_faster_is_faster():
    small, large = torch.ones(50, 50), torch.ones(600, 600)
    seconds = fastest({"small": lambda: small @ small, "large": lambda: large @ large}, rounds=5)
    assert 0 < seconds["small"] < seconds["large"]


def test_snr_speed_compares_equal_distances():
    figures = snr_speed(64, 16, rounds=1)
    assert figures["largest_difference"] < 1e-4
    assert figures["library_bytes"] > 64 * 64 * 16 * 4 > figures["own_bytes"]


def test_the_baseline_learns_a_color():
    rng = np.random.default_rng(0)
    labels = torch.arange(16) % 2
    images = torch.from_numpy(rng.integers(0, 60, (16, 3, 32, 32), np.uint8))
    images[labels == 1, 0] += 150
    network = whole_image_network(8, 0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    criterion = library_loss(0.2)
    for _ in range(8):
        training_step(network, criterion, optimizer, images, labels, rng)
    embeddings = network((images.float() - 128) / 128)
    distances = criterion[0].distance(embeddings)
    same = labels[:, None] == labels[None]
    assert distances[same].mean() < 0.5 * distances[~same].mean()


def test_grouped_networks_equal_separate_ones():
    networks = [new_network(64, seed).eval() for seed in range(3)]
    views = torch.randn(3, 5, 4, 16, 16)
    grouped = GroupedNetwork(networks).eval()
    together = grouped(views.transpose(0, 1).flatten(1, 2))
    for network, own, embedded in zip(networks, views, together, strict=True):
        torch.testing.assert_close(network(own), embedded, atol=1e-5, rtol=1e-5)


def test_time_that_spans_cover_counts_once():
    assert covered([(4, 5), (0, 2), (1, 3), (1, 2)]) == 4
    assert covered([]) == 0
