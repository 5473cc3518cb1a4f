"""The arms and what is said of them: planted data, closed forms, invariants."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import beta, binom

from heml.effect import training_loop
from heml.effect.accuracy import group_accuracy
from heml.effect.arm import ARMS
from heml.effect.arms.dfr import NEVER, _layer
from heml.effect.arms.subg import smallest_groups
from heml.effect.effect_settings import EffectSettings
from heml.effect.intervals import Trial, bootstrap, difference, interval, share_closed
from heml.effect.probe_network import predict, run
from heml.effect.problem import Problem, TrainingSet

SETTINGS = EffectSettings(size=16, steps=12, batch_size=16)


def planted(counts: dict[tuple[int, int], int], seed: int = 0, size: int = 16) -> TrainingSet:
    """Images of (label, attribute) groups: the label is a faint mark at one of the places, the
    attribute the color of everything."""
    rng = np.random.default_rng(seed)
    attributes = 1 + max(attribute for _, attribute in counts)
    labels, groups, images = [], [], []
    for (label, attribute), count in counts.items():
        for _ in range(count):
            image = rng.normal(70 + 80 * attribute, 25, (3, size, size))
            image[:, 3 + 4 * label : 6 + 4 * label, 3:13] += 30
            images.append(image.clip(0, 255))
            labels.append(label)
            groups.append(label * attributes + attribute)
    segments = np.zeros((len(labels), size, size), np.uint8)
    segments[:, :, 8:] = 1
    return TrainingSet(
        np.array(images, np.uint8),
        np.array(labels),
        np.array(groups),
        np.ones(len(labels)),
        segments,
    )


BIASED = {(0, 0): 20, (0, 1): 2, (1, 0): 3, (1, 1): 20}


def problem(counts: dict[tuple[int, int], int] = BIASED, classes: int = 2) -> Problem:
    train = planted(counts)
    balanced = planted(dict.fromkeys(counts, 10), seed=1)
    return Problem(train, classes, SETTINGS, rebalanced=balanced, oracle=balanced)


@pytest.mark.parametrize("arm", ARMS.names())
def test_every_arm_repeats_itself_and_differs_by_seed(arm):
    own = problem()
    images = own.train.images[::5]
    outputs = [run(ARMS[arm].train(own, s, lambda step: None).network, images) for s in (0, 0, 1)]
    assert outputs[0].shape == (len(images), 2)
    assert np.isfinite(outputs[0]).all()
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.allclose(outputs[0], outputs[2])


@pytest.mark.parametrize("arm", ARMS.names())
def test_every_arm_takes_three_labels_four_attributes_and_unknown_groups(arm):
    counts = {
        (label, attribute): 2 + 3 * (attribute == label)
        for label in range(3)
        for attribute in range(4)
    }
    own = problem(counts, classes=4)  # one label value is in the test split only
    own.train.groups[::7] = -1
    told = []
    outputs = run(ARMS[arm].train(own, 0, told.append).network, own.train.images)
    assert outputs.shape == (len(own.train), 4)
    assert told == [3, 6, 9, 12]


# The last layer of dfr is refitted on the processor, after the steps of erm.
@pytest.mark.parametrize("arm", [arm for arm in ARMS.names() if arm != "dfr"])
def test_no_arm_waits_for_its_device_in_a_step(arm, monkeypatch):
    # Tensors of the device "meta" have no values: whoever asks for one fails.
    monkeypatch.setattr(training_loop, "choose_device", lambda wanted: torch.device("meta"))
    trained = ARMS[arm].train(problem(), 0, lambda step: None)
    assert {parameter.device.type for parameter in trained.network.parameters()} == {"meta"}


def test_balance_gives_every_group_the_same_weight():
    data = planted(BIASED)
    sums = np.bincount(data.groups, data.group_balance())
    np.testing.assert_allclose(sums, len(data) / 4)


def test_undersampling_takes_as_many_of_each_group_without_repeats():
    data = planted(BIASED)
    rows = smallest_groups(data, np.random.default_rng(0))
    assert np.bincount(data.groups[rows]).tolist() == [2, 2, 2, 2]
    assert len(set(rows)) == len(rows)


def test_images_that_nothing_was_trained_on_are_not_counted():
    own = problem()
    counted = {arm: ARMS[arm].train(own, 0, lambda step: None).n_train for arm in ("erm", "dfr")}
    assert counted == {"erm": 45, "dfr": 45}
    own.rebalanced.weights[:7] = 0
    assert ARMS["rebalanced"].train(own, 0, lambda step: None).n_train == len(own.rebalanced) - 7
    # Where the validation split refits the last layer, its images are trained on too.
    validated = dataclasses.replace(own, validation=planted(dict.fromkeys(BIASED, 3), seed=2))
    assert ARMS["dfr"].train(validated, 0, lambda step: None).n_train == 45 + 12


def test_an_unbiased_set_teaches_what_a_biased_one_hides():
    test = planted(dict.fromkeys(BIASED, 20), seed=2)
    settings = SETTINGS.model_copy(update={"steps": 40, "batch_size": 24})
    train = planted({(0, 0): 60, (0, 1): 1, (1, 0): 1, (1, 1): 60})
    even = planted(dict.fromkeys(BIASED, 30), seed=1)
    own = Problem(train, 2, settings, rebalanced=even)
    worst = {}
    for arm in ("erm", "rebalanced"):
        network = ARMS[arm].train(own, 0, lambda step: None).network
        correct = predict(network, test.images) == test.labels
        worst[arm] = group_accuracy(correct, test.groups).worst_group
    assert worst["erm"] < 0.5 < 0.8 < worst["rebalanced"]


def test_refitted_layer_never_predicts_what_it_never_saw():
    features = np.array([[0.0, 1], [0, 2], [5, 1], [5, 2]])
    weight, bias = _layer(features, np.array([0, 0, 2, 2]), classes=4)
    outputs = features @ weight.T + bias
    assert outputs.argmax(1).tolist() == [0, 0, 2, 2]
    assert (outputs[:, [1, 3]] == NEVER).all()
    weight, bias = _layer(features, np.array([1, 1, 1, 1]), classes=2)
    assert (features @ weight.T + bias).argmax(1).tolist() == [1, 1, 1, 1]


def test_random_paste_without_segments_says_so():
    own = planted(BIASED)
    bare = TrainingSet(own.images, own.labels, own.groups, own.weights)
    with pytest.raises(ValueError, match="needs the segments"):
        ARMS["random_paste"].train(Problem(bare, 2, SETTINGS), 0, lambda step: None)


def test_accuracy_of_groups():
    correct = np.array([1, 1, 0, 1, 0, 0, 0, 1], bool)
    found = group_accuracy(correct, np.array([0, 0, 0, 1, 2, 2, 2, 2]))
    np.testing.assert_allclose(found.by_group, [2 / 3, 1, 1 / 4])
    assert (found.worst, found.worst_group) == (2, 0.25)
    assert found.average == pytest.approx((2 / 3 + 1 + 1 / 4) / 3)
    with pytest.raises(ValueError, match="every test group needs an image"):
        group_accuracy(correct, np.array([0, 0, 0, 2, 2, 2, 2, 2]))


def one_group(right: int, n: int, prefix: str = "image") -> Trial:
    correct = (np.arange(n) < right)[None]
    return Trial([f"{prefix}-{i}" for i in range(n)], np.zeros(n, int), {"arm": correct})


@pytest.mark.parametrize(("right", "n"), [(30, 60), (60, 60), (3, 45)])
def test_one_network_has_jeffreys_interval(right, n):
    drawn = bootstrap([one_group(right, n)], draws=20000)["arm"]
    low, high = np.quantile(drawn.worst_draws, [0.025, 0.975])
    expected = beta.ppf([0.025, 0.975], right + 0.5, n - right + 0.5)
    np.testing.assert_allclose([low, high], expected, atol=0.005)
    own = interval(drawn.worst, drawn.worst_draws)
    assert own.mean == right / n
    assert own.low <= own.mean <= own.high


def test_seeds_add_variance_without_bias():
    n = 4000  # so many images that they add next to none
    correct = np.stack([np.arange(n) < share * n for share in (0.4, 0.5, 0.6)])
    trial = Trial(list(map(str, range(n))), np.zeros(n, int), {"arm": correct})
    drawn = bootstrap([trial], draws=2000)["arm"]
    # Standard error of the mean of three: sample standard deviation 0.1 over the root of 3.
    assert drawn.worst_draws.std() == pytest.approx(0.1 / 3**0.5, rel=0.08)


def test_an_image_in_two_splits_counts_once():
    once = bootstrap([one_group(20, 40)])["arm"].worst_draws.std()
    same = bootstrap([one_group(20, 40), one_group(20, 40)])["arm"].worst_draws.std()
    assert same == pytest.approx(once, rel=0.05)


def test_the_worst_group_is_not_chosen_again_in_every_draw():
    """The lowest of many equal groups, drawn again and again, would err far low."""
    groups = np.repeat(np.arange(20), 30)
    correct = np.tile(np.arange(30) < 15, 20)[None]
    drawn = bootstrap([Trial(list(map(str, range(600))), groups, {"arm": correct})])["arm"]
    assert drawn.worst == 0.5
    assert drawn.worst_draws.mean() == pytest.approx(0.5, abs=0.01)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        right = int(binom.rvs(50, 0.8, random_state=rng))
        drawn = bootstrap([one_group(right, 50)], draws=400)["arm"]
        own = interval(drawn.worst, drawn.worst_draws)
        held += own.low <= 0.8 <= own.high
    assert 0.9 <= held / 200 <= 1.0


def test_share_of_the_gap():
    groups = np.repeat([0, 1], 50)
    right = {"plain": 10, "half": 25, "oracle": 40}
    correct = {
        arm: np.concatenate([np.arange(50) < k, np.ones(50, bool)])[None]
        for arm, k in right.items()
    }
    drawn = bootstrap([Trial(list(map(str, range(100))), groups, correct)])
    half = share_closed(drawn["half"], drawn["plain"], drawn["oracle"])
    assert half.mean == pytest.approx(0.5)
    assert 0.3 < half.low < 0.5 < half.high < 0.7
    whole = share_closed(drawn["oracle"], drawn["plain"], drawn["oracle"])
    assert (whole.low, whole.mean, whole.high) == (1, 1, 1)
    assert share_closed(drawn["half"], drawn["oracle"], drawn["plain"]) is None, "no gap to close"
    gain = difference(drawn["half"], drawn["plain"])
    assert gain.mean == pytest.approx(0.3)
    assert gain.low > 0
