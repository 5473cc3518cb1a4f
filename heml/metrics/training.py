"""Training one network on the views of one node, and embedding with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import DoNothingReducer
from torch import Tensor

from heml.metrics.network import NodeNetwork, new_network, scale_views
from heml.metrics.snr import SNRDistance
from heml.settings import MetricSettings


def balanced_batches(
    labels: np.ndarray, batch_size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """One epoch of batches in which every label is equally frequent.

    A scarce label is repeated; an epoch has as many batches as the rows fill.

    Parameters
    ----------
    labels : int array (N,)

    Yields
    ------
    int array (batch_size,)
        Row numbers.
    """
    values = np.unique(labels)
    per_label = max(batch_size // len(values), 2)
    batches = max(round(len(labels) / (per_label * len(values))), 1)
    columns = []
    for value in values:
        rows = np.flatnonzero(labels == value)
        rounds = -(-batches * per_label // len(rows))
        order = np.concatenate([rng.permutation(rows) for _ in range(rounds)])
        columns.append(order[: batches * per_label].reshape(batches, per_label))
    for batch in range(batches):
        yield np.concatenate([column[batch] for column in columns])


def augment(views: Tensor, rng: np.random.Generator) -> Tensor:
    """Random mirroring and shifts of up to a sixteenth of the side, per view.

    Parameters
    ----------
    views : Tensor, shape (B, 4, R, R), scaled
    """
    flips = torch.from_numpy(rng.random(len(views)) < 0.5)
    views = torch.where(flips[:, None, None, None], views.flip(-1), views)
    reach = max(views.shape[-1] // 16, 1)
    down, right = rng.integers(-reach, reach + 1, size=2)
    return torch.roll(views, (int(down), int(right)), dims=(-2, -1))


def train_network(
    views: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    settings: MetricSettings,
    start: dict[str, Tensor] | None,
    seed: int,
    on_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> tuple[NodeNetwork, list[float]]:
    """Trains one network with the triplet margin loss over d_SNR.

    Parameters
    ----------
    views : uint8 array (N, 4, R, R)
        May be memory-mapped: only batches are read.
    rows : int array (M,)
        Views to train on.
    labels : int array (M,)
        Their labels, at least two values.
    start : dict of Tensor, optional
        Initial weights; from the settings' seed if not given.
    seed : int
        Of batches and augmentation.
    on_epoch : callable
        Called with the epoch, from 1, and its mean loss.

    Returns
    -------
    network, list of float
        The trained network in evaluation mode, and per epoch the mean loss over all triplets.
    """
    rng = np.random.default_rng(seed)
    network = new_network(settings.embedding, settings.seed)
    if start is not None:
        network.load_state_dict(start)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    criterion = TripletMarginLoss(
        margin=settings.margin, distance=SNRDistance(), reducer=DoNothingReducer()
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    steps = settings.epochs * len(list(balanced_batches(labels, settings.batch_size, rng)))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=settings.learning_rate, total_steps=steps
    )
    curve = []
    network.train()
    for epoch in range(settings.epochs):
        losses = []
        for chosen in balanced_batches(labels, settings.batch_size, rng):
            batch = augment(scale_views(torch.from_numpy(views[rows[chosen]])), rng)
            triplets = criterion(
                network(batch.contiguous(memory_format=torch.channels_last)),
                torch.from_numpy(labels[chosen]),
            )["loss"]["losses"]
            # Triplets that already keep the margin teach nothing and do not dilute the others.
            optimizer.zero_grad(set_to_none=True)
            (triplets.sum() / (triplets > 0).sum().clamp_min(1)).backward()
            optimizer.step()
            schedule.step()
            losses.append(triplets.detach().mean().item())
        curve.append(float(np.mean(losses)))
        on_epoch(epoch + 1, curve[-1])
    return network.eval(), curve


@torch.inference_mode()
def embed(network: NodeNetwork, views: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Embeddings of views.

    Parameters
    ----------
    views : uint8 array (N, 4, R, R)
        At least one.

    Returns
    -------
    float32 array (N, D)
    """
    network.eval()
    parts = [
        network(scale_views(torch.from_numpy(np.array(views[i : i + batch_size]))))
        for i in range(0, len(views), batch_size)
    ]
    return torch.cat(parts).numpy()
