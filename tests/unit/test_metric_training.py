"""Every loss, distance, miner and trunk learns a planted difference; batches and warm starts."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from heml.compute.checkpoints import CheckpointError, checkpoint_identity
from heml.compute.device import choose_device
from heml.metrics.distance import DISTANCES
from heml.metrics.evaluation import evaluate
from heml.metrics.library_distances import LibrarySimilarity
from heml.metrics.loss import LOSSES
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.network_training import (
    TrainingDiverged,
    balanced_batches,
    embed,
    is_stochastic,
    train_network,
)
from heml.metrics.node_network import combine, network_of, new_network, scale_views

SIDE, COUNT = 16, 160
SNR = DISTANCES["snr"]


@pytest.fixture(scope="module")
def planted():
    """Views whose label is the orientation of stripes, under noise; color says nothing."""
    rng = np.random.default_rng(0)
    labels = np.arange(COUNT) % 2
    stripes = np.tile([1, 1, -1, -1], SIDE // 4)
    views = np.empty((COUNT, 4, SIDE, SIDE), np.uint8)
    for view, label in zip(views, labels, strict=True):
        pattern = np.broadcast_to(stripes, (SIDE, SIDE))
        pattern = pattern.T if label else pattern
        noise = rng.normal(0, 30, (3, SIDE, SIDE)) + rng.uniform(-40, 40, (3, 1, 1))
        view[:3] = np.clip(128 + 30 * pattern + noise, 0, 255)
        view[3] = 255
    return views, labels


def precision(planted, settings: MetricSettings) -> float:
    views, labels = planted
    rows, held_out = np.arange(COUNT // 2), np.arange(COUNT // 2, COUNT)
    network, curve = train_network(views, rows, labels[rows], settings, None, seed=1)
    assert len(curve) == settings.epochs
    embeddings = embed(network, views)
    assert np.isfinite(embeddings).all()
    return evaluate(
        embeddings[held_out],
        labels[held_out],
        embeddings[rows],
        labels[rows],
        DISTANCES[settings.distance],
    )["precision_at_1"]


def settings(**changes) -> MetricSettings:
    content = {"epochs": 6, "batch_size": 32, "embedding": 16} | changes
    return MetricSettings.model_validate(content)


@pytest.mark.parametrize("loss", LOSSES.names())
def test_every_loss_learns_the_planted_difference(planted, loss):
    assert precision(planted, settings(loss=loss)) > 0.8  # chance is 0.5


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    "loss", ["triplet", "contrastive", "n_pairs", "lifted_structure", "multi_similarity"]
)
def test_losses_learn_with_every_distance(planted, loss, distance):
    assert precision(planted, settings(loss=loss, distance=distance)) > 0.8


@pytest.mark.parametrize("miner", ["semihard", "hard", "multi_similarity"])
def test_miners(planted, miner):
    assert precision(planted, settings(miner=miner)) > 0.8


def test_shuffled_labels_are_not_learned(planted):
    views, labels = planted
    shuffled = np.random.default_rng(3).permutation(labels)
    assert precision((views, shuffled), settings()) < 0.7


def test_of_large_sets_a_part_is_evaluated(monkeypatch):
    labels = np.arange(400) % 2
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(400, 8)) + np.where(labels, 3, -3)[:, None] * np.arange(-4, 4)
    sizes = []

    class Noted(type(SNR)):
        def bounded_pairwise(self, asked, known):
            sizes.append((len(asked), len(known)))
            return super().bounded_pairwise(asked, known)

    monkeypatch.setattr("heml.metrics.evaluation.MOST_QUERIES", 30)
    monkeypatch.setattr("heml.metrics.evaluation.MOST_REFERENCES", 100)
    found = evaluate(embeddings[:200], labels[:200], embeddings[200:], labels[200:], Noted())
    assert found["precision_at_1"] == found["mean_average_precision_at_r"] == 1
    assert found["distance_same_label"] < 0.1 < 0.8 < found["distance_different_label"]
    assert all(asked <= 30 and known <= 100 for asked, known in sizes)
    assert sizes


def test_mean_distances_are_those_of_pairs_of_one_label_and_of_two():
    wave = np.array([1.0, -1, 1, -1])
    queries, references = np.stack([wave, wave]), np.stack([wave, 2 * wave, -wave])
    found = evaluate(queries, np.array([0, 1]), references, np.array([0, 0, 1]), SNR)
    # Query 0 with both of label 0: 0 and 1/9; query 1 with its own: 1. Different: 1, 0 and 1/9.
    assert found["distance_same_label"] == pytest.approx((0 + 1 / 9 + 1) / 3)
    assert found["distance_different_label"] == pytest.approx((1 + 0 + 1 / 9) / 3)
    alone = evaluate(queries[:1], np.array([0]), references[:2], np.array([0, 0]), SNR)
    assert "distance_different_label" not in alone


def test_similarity_of_equal_variances_is_the_correlation():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(6, 12))
    a = (a - a.mean(1, keepdims=True)) / a.std(1, keepdims=True)
    measured = LibrarySimilarity(SNR)(torch.from_numpy(a)).numpy()
    np.testing.assert_allclose(measured, np.corrcoef(a), atol=1e-12)


@pytest.mark.parametrize("distance", DISTANCES.names())
def test_bounded_form_ranks_as_the_distance_does_where_that_is_symmetric(planted, distance):
    network = new_network(16, 0, distance=distance).eval()
    a = torch.from_numpy(embed(network, planted[0][:8])).double()
    raw, bounded = (m(a, a) for m in (network.distance.pairwise, network.distance.bounded_pairwise))
    expected = {
        "snr": lambda: (raw.rsqrt() + raw.T.rsqrt()) ** -2,
        "cosine": lambda: (1 - torch.nn.functional.cosine_similarity(a[:, None], a[None], 2)) / 2,
        "euclidean": lambda: torch.cdist(a, a) / (1 + torch.cdist(a, a)),
    }[distance]()
    torch.testing.assert_close(bounded, expected, atol=1e-6, rtol=1e-4)
    if distance != "snr":
        order = raw.flatten().argsort()
        assert (bounded.flatten()[order].diff() >= -1e-12).all()


def test_batches_hold_every_label_equally_often():
    labels = np.array([0] * 90 + [1] * 7)
    batches = list(balanced_batches(labels, 16, np.random.default_rng(0)))
    assert len(batches) == 6
    for batch in batches:
        assert np.bincount(labels[batch]).tolist() == [8, 8]


def test_fewer_images_than_a_batch_fill_it_by_repetition():
    labels = np.array([0, 0, 0, 1, 1])
    (batch,) = balanced_batches(labels, 64, np.random.default_rng(0))
    assert np.bincount(labels[batch]).tolist() == [32, 32]


def test_batches_of_many_identities_stay_of_batch_size():
    labels = np.repeat(np.arange(500), 3)
    batches = list(balanced_batches(labels, 64, np.random.default_rng(0)))
    assert len(batches) == round(1500 / 64)
    for batch in batches:
        counts = np.bincount(labels[batch])
        assert len(batch) == 64
        assert set(counts[counts > 0]) == {4}


def test_identities_are_learned_from_batches_of_some(planted):
    views, labels = planted
    twenty = np.arange(COUNT) % 20 // 2 * 2 + labels  # twenty identities, stripes tell ten of them
    assert precision((views, twenty), settings(batch_size=16, epochs=8)) > 0.08  # chance 0.05


def test_a_diverging_loss_is_an_error_and_not_a_network(planted):
    views, labels = planted
    start = new_network(16, 0).state_dict()
    start["embedder.0.weight"][0, 0] = torch.nan
    with pytest.raises(TrainingDiverged, match="not finite in epoch 1"):
        train_network(views, np.arange(COUNT), labels, settings(), start, seed=0)


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(ValueError, match=r"device: this machine has no cuda; .* cpu"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"loss": "snr_contrastive", "distance": "cosine"}, "use loss contrastive, or distance"),
        ({"loss": "n_pairs", "miner": "hard"}, "use miner default"),
        ({"labels": ["a", "a"]}, "'a' is named twice"),
        ({"trunk": {"checkpoint": "x/y"}}, "must be small, or"),
        ({"trunk": "resnet"}, "'resnet' is unknown; use small, or"),
    ],
)
def test_settings_that_do_not_go_together(content, message):
    with pytest.raises(ValidationError, match=message):
        MetricSettings.model_validate(content)


@pytest.fixture(scope="module", params=["resnet", "convnext"])
def checkpoint(request, tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("checkpoints") / request.param
    torch.manual_seed(0)
    if request.param == "resnet":
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
        )
        model = transformers.ResNetForImageClassification(config)
    else:
        config = transformers.ConvNextConfig(
            num_stages=2, patch_size=2, hidden_sizes=[8, 16], depths=[1, 1]
        )
        model = transformers.ConvNextForImageClassification(config)
    model.save_pretrained(folder)
    processor = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def test_checkpoints_start_with_their_weights_and_normalization(checkpoint):
    transformers = pytest.importorskip("transformers")
    network = new_network(16, 0, trunk=str(checkpoint)).eval()
    auto = transformers.AutoModel.from_pretrained(checkpoint).eval()
    views = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32), np.uint8)
    pixels = torch.from_numpy(views[:, :3]).float()
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]))
    with torch.no_grad():
        expected = auto((pixels / 256 - mean) / std).last_hidden_state
        if checkpoint.name == "convnext":  # its backbone ends with a norm of the channels
            expected = torch.nn.functional.layer_norm(expected.movedim(1, -1), (16,), eps=1e-6)
            expected = expected.movedim(-1, 1)
        features = network.trunk(scale_views(torch.from_numpy(views)))
    torch.testing.assert_close(features, expected.mean(dim=(2, 3)), atol=1e-4, rtol=1e-4)


def test_checkpoints_learn_and_are_rebuilt_without_their_folder(planted, checkpoint):
    views, labels = planted
    chosen = settings(trunk=str(checkpoint), trunk_learning_rate=1e-2, epochs=20)
    rows = np.arange(COUNT // 2)
    network, _ = train_network(views, rows, labels[rows], chosen, None, seed=0)
    assert precision(planted, chosen) > 0.8
    again = network_of(json.loads(json.dumps(network.architecture)))
    again.load_state_dict(network.state_dict())
    # Kernels differ with the layout of the weights in memory, by rounding.
    np.testing.assert_allclose(embed(again, views[:9]), embed(network, views[:9]), atol=1e-4)
    # A branch starts from the mean of its children, whatever the trunk.
    states = [network.state_dict(), new_network(16, 0, trunk=str(checkpoint)).state_dict()]
    mean = combine(states)
    again.load_state_dict(mean)
    name = "embedder.0.weight"
    torch.testing.assert_close(mean[name], (states[0][name] + states[1][name]) / 2)


def test_a_checkpoint_is_known_by_its_content(checkpoint, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    assert checkpoint_identity(str(copy)) == checkpoint_identity(str(checkpoint))
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    data = bytearray((other / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (other / "model.safetensors").write_bytes(data)
    assert checkpoint_identity(str(other)) != checkpoint_identity(str(checkpoint))


def test_pickled_and_missing_weights_are_refused(checkpoint, tmp_path):
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="has no safetensors"):
        new_network(16, 0, trunk=str(folder))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CheckpointError, match="neither small, nor a folder"):
        new_network(16, 0, trunk=str(empty))


def test_training_with_stochastic_depth_is_a_function_of_the_seed(planted, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ConvNextConfig(
        num_stages=2, patch_size=2, hidden_sizes=[8, 16], depths=[2, 2], drop_path_rate=0.5
    )
    transformers.ConvNextForImageClassification(config).save_pretrained(tmp_path)
    views, labels = planted
    chosen = settings(trunk=str(tmp_path), epochs=2)
    assert is_stochastic(new_network(16, 0, trunk=str(tmp_path)))
    assert not is_stochastic(new_network(16, 0))

    def train(seed: int) -> np.ndarray:
        network, _ = train_network(views, np.arange(COUNT), labels, chosen, None, seed)
        return embed(network, views[:4])

    alone = train(1)
    torch.rand(7)  # another draw from the generator that all threads share
    with ThreadPoolExecutor(2) as pool:
        beside, other = pool.map(train, [1, 2])
    np.testing.assert_array_equal(alone, beside)
    assert not np.array_equal(alone, other)
