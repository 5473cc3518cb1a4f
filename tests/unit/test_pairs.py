"""Held-out pairs: drawn evenly over groups, measured by the fold's network, few of very many."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from heml.metrics.artifacts import NodeMetric
from heml.tree.pairs import draw_pairs, held_out_pairs


def drawn(groups: list[int], label_of: list[int], limit: int):
    """Pairs of the first half of some images with the second."""
    groups = np.array(groups)
    labels = np.array(label_of)[groups]
    half = len(groups) // 2
    queries, references = np.arange(half), np.arange(half, len(groups))
    rng = np.random.default_rng(0)
    return labels, groups, *draw_pairs(queries, references, labels, groups, limit, rng)


def test_few_pairs_are_all_taken_once():
    *_, first, second, stands_for = drawn([0, 1, 0, 1], [0, 1], limit=4)
    assert sorted(zip(first, second, strict=True)) == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert stands_for.tolist() == [1, 1, 1, 1]


def test_half_are_of_one_label_and_groups_take_part_evenly():
    # Three groups of label 0 and one of label 1, in very different numbers.
    rng = np.random.default_rng(1)
    groups = rng.choice(4, 2000, p=[0.9, 0.04, 0.03, 0.03]).tolist()
    labels, found, first, second, stands_for = drawn(groups, [0, 0, 0, 1], limit=1000)
    assert len(set(zip(first, second, strict=True))) == len(first) == 1000
    same = labels[first] == labels[second]
    assert same.sum() == 500
    kinds, counts = np.unique(found[first[same]] * 4 + found[second[same]], return_counts=True)
    assert len(kinds) == 10  # 3 × 3 and 1 × 1
    assert counts.max() - counts.min() <= 1
    # Together they stand for all pairs.
    assert stands_for.sum() == pytest.approx(1000 * 1000)


def test_what_one_kind_lacks_the_other_gives():
    groups = [0] * 30 + [1] + [0] * 30 + [1]
    *_, first, second, _ = drawn(groups, [0, 1], limit=200)
    assert len(first) == len(second) == 200
    one_label = [[0, 1][c] for c in groups]
    different = [one_label[a] != one_label[b] for a, b in zip(first, second, strict=True)]
    assert sum(different) == 60  # all there are; 140 of one label


def test_more_groups_than_can_be_looked_at():
    labels, _, first, second, _ = drawn(list(range(1000)) * 2, list(range(1000)), limit=400)
    assert len(first) == 400
    assert (labels[first] == labels[second]).sum() == 200  # one pair of each of 200 groups


def node(count: int, folds: int = 2) -> NodeMetric:
    rng = np.random.default_rng(2)
    index = pd.DataFrame({"image_id": [str(n) for n in range(count)]})
    index["fold"] = np.arange(count) % folds
    index["present"] = np.arange(count) % 5 > 0
    crossed = rng.normal(size=(folds, count, 4)).astype(np.float32)
    crossed[:, ~index["present"]] = 0
    return NodeMetric("face", index, crossed[0], crossed, [], {})


def test_distances_are_those_of_the_network_that_never_saw_the_first_image():
    metric, labels = node(24), np.arange(24) // 12
    pairs = held_out_pairs([metric], labels, labels, 10_000, seed=0)
    assert len(pairs.first) == 2 * 12 * 12
    for place, (a, b) in enumerate(zip(pairs.first, pairs.second, strict=True)):
        assert metric.fold[a] != metric.fold[b]
        has = metric.present[[a, b]]
        assert pairs.both[place, 0] == has.all()
        assert pairs.one_absent[place, 0] == (has.sum() == 1)
        x, y = metric.cross_fitted[metric.fold[a]][[a, b]].astype(float)
        expected = np.var(x - y) / (np.std(x) + np.std(y)) ** 2 if has.all() else 0
        assert pairs.distance[place, 0] == pytest.approx(expected, abs=1e-5)


def test_memory_does_not_grow_with_the_pairs_that_there_are():
    count = 30_000  # 450 million pairs of each fold with the rest
    metric, labels = node(count), np.arange(count) % 2
    tracemalloc.start()
    pairs = held_out_pairs([metric], labels, np.arange(count) % 4, 4000, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(pairs.first) == 4000
    assert peak < 20e6
