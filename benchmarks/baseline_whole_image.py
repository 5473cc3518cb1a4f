"""The baseline that a user of pytorch-metric-learning would write: one network, whole images.

The same trunk, embedder, optimizer, batch size, epochs and augmentation as a node; the library's
own `SNRDistance`, triplet loss, miner and sampler; the epoch that is best on a validation part,
taken from the training images.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from pytorch_metric_learning import distances, losses, miners, samplers
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.model_selection import StratifiedShuffleSplit
from torch import Tensor, nn

from benchmarks.clock import clock
from heml.compute.device import choose_device, mixed_precision, to_device
from heml.compute.threads import processors, seeded
from heml.images.images_table import decode_image, iterate_images
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.network_training import augment
from heml.metrics.node_network import NodeNetwork
from heml.storage.store import Store

_CPU = torch.device("cpu")
#: Part of the training images on which the best epoch is chosen.
VALIDATION = 0.15


@dataclass(frozen=True)
class Baseline:
    """A trained baseline.

    Parameters
    ----------
    distances : float array (Q, N)
        Of the test images to all training images, validation part included.
    best_epoch : int
    seconds : dict
        wall_s and cpu_s, decoding and choosing the epoch included.
    """

    distances: np.ndarray
    best_epoch: int
    seconds: dict[str, float]


def whole_image_network(embedding: int, seed: int) -> NodeNetwork:
    """The family of the nodes' networks, for three color channels."""
    with seeded(seed):
        network = NodeNetwork(embedding)
        first = network.trunk[0]
        network.trunk[0] = nn.Conv2d(
            3, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False
        )
    return network


def library_loss(margin: float) -> tuple[nn.Module, nn.Module]:
    """Triplet loss over the library's SNR distance, and the miner of its triplets."""
    distance = distances.SNRDistance()
    miner = miners.TripletMarginMiner(margin, type_of_triplets="all", distance=distance)
    return losses.TripletMarginLoss(margin, distance=distance), miner


def whole_images(store: Store, size: int) -> Tensor:
    """All images of a store at one size, uint8 (N, 3, size, size)."""
    rows = []
    for batch in iterate_images(store, ["image"]):
        for image in batch["image"].to_pylist():
            resized = Image.fromarray(decode_image(image["bytes"])).resize(
                (size, size), Image.Resampling.BILINEAR
            )
            rows.append(np.asarray(resized).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(rows))


def scaled(images: Tensor) -> Tensor:
    return (images.float() - 128) / 128


def training_step(
    network: nn.Module,
    criterion: tuple[nn.Module, nn.Module],
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    rng: np.random.Generator,
    device: torch.device = _CPU,
) -> None:
    """One optimizer step on uint8 images, on the device with the nodes' precision."""
    loss, miner = criterion
    batch = augment(scaled(to_device(images.numpy(), device)), rng)
    batch = batch.contiguous(memory_format=torch.channels_last)
    with mixed_precision(device):
        embeddings = network(batch)
    embeddings, labels = embeddings.float(), labels.to(device)
    optimizer.zero_grad(set_to_none=True)
    loss(embeddings, labels, miner(embeddings, labels)).backward()
    optimizer.step()


def train_baseline(
    store: Store,
    size: int,
    labels: np.ndarray,
    strata: Sequence[str],
    train: np.ndarray,
    test: np.ndarray,
    settings: MetricSettings,
) -> Baseline:
    """Trains on the images of `train` and measures those of `test` against them.

    Parameters
    ----------
    store : Store
    size : int
        Side of the input in pixels.
    labels : int array (N,)
    strata : sequence of str, length N
        The validation part is drawn evenly from them.
    train, test : int arrays
        Rows.
    settings : MetricSettings
        Epochs, batch size, margin, learning rate, embedding and seed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(processors())
    try:
        with clock() as took:
            measured, epoch = _train(store, size, labels, strata, train, test, settings)
    finally:
        torch.set_num_threads(threads)
    return Baseline(measured, epoch, took.as_dict())


def _train(
    store: Store,
    size: int,
    labels: np.ndarray,
    strata: Sequence[str],
    train: np.ndarray,
    test: np.ndarray,
    settings: MetricSettings,
) -> tuple[np.ndarray, int]:
    images = whole_images(store, size)
    split = StratifiedShuffleSplit(1, test_size=VALIDATION, random_state=settings.seed)
    fit, validation = (
        train[part] for part in next(split.split(train, np.asarray(strata, dtype=object)[train]))
    )
    rng = np.random.default_rng(settings.seed)
    network = whole_image_network(settings.embedding, settings.seed)
    device = choose_device(settings.device)
    network.to(device, memory_format=torch.channels_last)
    criterion = library_loss(settings.margin)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    classes = len(np.unique(labels))
    batch_size = settings.batch_size // classes * classes
    steps = max(round(len(fit) / batch_size), 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=steps * settings.epochs
    )
    sampler = samplers.MPerClassSampler(
        labels[fit], batch_size // classes, batch_size, steps * batch_size
    )
    known = torch.from_numpy(labels)
    best, best_epoch, state = -1.0, 0, copy.deepcopy(network.state_dict())
    with seeded(settings.seed):
        np.random.seed(settings.seed)  # noqa: NPY002 - the library's sampler draws from it
        for epoch in range(settings.epochs):
            network.train()
            chosen = torch.from_numpy(fit[np.array(list(sampler))]).split(batch_size)
            for rows in chosen:
                training_step(network, criterion, optimizer, images[rows], known[rows], rng, device)
                schedule.step()
            score = _precision(
                _embed(network, images, validation),
                _embed(network, images, fit),
                labels,
                validation,
                fit,
            )
            # Of equally good epochs the later one: it has seen more.
            if score >= best:
                best, best_epoch, state = score, epoch + 1, copy.deepcopy(network.state_dict())
    network.load_state_dict(state)
    queries, references = _embed(network, images, test), _embed(network, images, train)
    with torch.inference_mode():
        return distances.SNRDistance()(queries, references).numpy(), best_epoch


def _precision(
    queries: Tensor, references: Tensor, labels: np.ndarray, asked: np.ndarray, known: np.ndarray
) -> float:
    calculator = AccuracyCalculator(
        include=("precision_at_1",),
        k=1,
        device=torch.device("cpu"),
        knn_func=CustomKNN(distances.SNRDistance(), batch_size=64),
    )
    values = calculator.get_accuracy(
        queries, torch.from_numpy(labels[asked]), references, torch.from_numpy(labels[known])
    )
    return float(values["precision_at_1"])


@torch.inference_mode()
def _embed(network: nn.Module, images: Tensor, rows: np.ndarray) -> Tensor:
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(scaled(to_device(images[part].numpy(), device))).cpu()
        for part in torch.from_numpy(rows).split(64)
    ]
    return torch.cat(parts)
