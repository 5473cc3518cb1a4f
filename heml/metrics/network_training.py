"""Training one network on the views of one node, and embedding with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from heml.compute.device import mixed_precision, to_device
from heml.compute.threads import seeded
from heml.metrics.distance import DISTANCES
from heml.metrics.loss import LOSSES, LossContext
from heml.metrics.metric_settings import SMALL, MetricSettings
from heml.metrics.node_network import NodeNetwork, new_network, scale_views
from heml.metrics.objective import Objective

#: Images of a label in a batch that cannot hold all labels.
_PER_LABEL = 4
#: Weights of a checkpoint learn this much slower than new ones.
_CHECKPOINT_RATE = 1 / 30
#: Proxies learn this much faster than networks (Kim et al., "Proxy Anchor", CVPR 2020).
_PROXY_RATE = 100
_CPU = torch.device("cpu")


class TrainingDiverged(ArithmeticError):
    """The loss or an embedding is not finite."""


def balanced_batches(
    labels: np.ndarray, batch_size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """One epoch of batches in which every label is equally frequent.

    A scarce label is repeated; an epoch has as many batches as the rows fill. Where the labels are
    too many for one batch, as identities are, each batch draws some of them.

    Parameters
    ----------
    labels : int array (N,)

    Yields
    ------
    int array (B,)
        Row numbers, label by label; B is `batch_size`, rounded down to equal shares.
    """
    values = np.unique(labels)
    if 2 * len(values) > batch_size:
        yield from _batches_of_some(labels, values, batch_size, rng)
        return
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


def _batches_of_some(
    labels: np.ndarray, values: np.ndarray, batch_size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    per_label = min(_PER_LABEL, batch_size // 2)
    rows = {value: np.flatnonzero(labels == value) for value in values}
    for _ in range(max(round(len(labels) / batch_size), 1)):
        chosen = np.sort(rng.choice(values, batch_size // per_label, replace=False))
        yield np.concatenate(
            [rng.choice(rows[v], per_label, replace=len(rows[v]) < per_label) for v in chosen]
        )


def augment(views: Tensor, rng: np.random.Generator) -> Tensor:
    """Random mirroring and shifts of up to a sixteenth of the side, per view.

    Parameters
    ----------
    views : Tensor, shape (B, 4, R, R), scaled
    """
    flips = to_device(rng.random(len(views)) < 0.5, views.device)
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
    device: torch.device = _CPU,
) -> tuple[NodeNetwork, list[float]]:
    """Trains one network with the loss that the settings name.

    Parameters
    ----------
    views : uint8 array (N, 4, R, R)
        May be memory-mapped: only batches are read.
    rows : int array (M,)
        Views to train on.
    labels : int array (M,)
        Their labels, at least two values.
    start : dict of Tensor, optional
        Initial weights; from the settings' seed and checkpoint if not given.
    seed : int
        Of batches, augmentation, dropout and stochastic depth.
    on_epoch : callable
        Called with the epoch, from 1, and its mean loss.
    device : torch.device
        The network stays there.

    Returns
    -------
    network, list of float
        The trained network in evaluation mode, and per epoch the mean loss.

    Raises
    ------
    TrainingDiverged
        If a loss is not finite.
    """
    rng = np.random.default_rng(seed)
    labels = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    network = new_network(settings.embedding, settings.seed, settings.trunk, settings.distance)
    if start is not None:
        network.load_state_dict(start)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    criterion = _objective(settings, int(labels.max()) + 1).to(device)
    steps = settings.epochs * len(list(balanced_batches(labels, settings.batch_size, rng)))
    optimizer, schedule = _optimizer(network, criterion, settings, steps)
    curve = []
    layout, target = np.empty(0, np.int64), torch.empty(0)
    network.train()
    with ExitStack() as stack:
        if is_stochastic(network):
            stack.enter_context(seeded(seed))
        for epoch in range(settings.epochs):
            losses = []
            for chosen in balanced_batches(labels, settings.batch_size, rng):
                batch = augment(scale_views(to_device(views[rows[chosen]], device)), rng)
                batch = batch.contiguous(memory_format=torch.channels_last)
                with mixed_precision(device):
                    embeddings = network(batch)
                if not np.array_equal(layout, labels[chosen]):
                    layout = labels[chosen]
                    target = to_device(layout, device)
                loss, shown = criterion(embeddings.float(), target)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(shown)
            # One look an epoch: asking after each step would make an accelerator wait.
            curve.append(float(torch.stack(losses).cpu().double().mean()))
            if not np.isfinite(curve[-1]):
                raise TrainingDiverged(f"the loss is not finite in epoch {epoch + 1}")
            on_epoch(epoch + 1, curve[-1])
    return network.eval(), curve


def is_stochastic(network: nn.Module) -> bool:
    """Whether a network draws while it trains: dropout, or stochastic depth.

    Torch draws from one generator that all threads share. Such networks train one after the other,
    or their weights would depend on which others train beside them.
    """
    for module in network.modules():
        values = {**vars(module), **vars(getattr(module, "config", object))}
        rates = (v for n, v in values.items() if n == "p" or "drop" in n)
        if any(isinstance(rate, float) and rate > 0 for rate in rates):
            return True
    return False


def _objective(settings: MetricSettings, classes: int) -> Objective:
    context = LossContext(
        DISTANCES[settings.distance],
        settings.miner,
        settings.margin,
        classes,
        settings.embedding,
        settings.seed,
    )
    return LOSSES[settings.loss].objective(context)


def _optimizer(
    network: NodeNetwork, criterion: Objective, settings: MetricSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    rate = settings.learning_rate
    trunk = settings.trunk_learning_rate
    if trunk is None:
        trunk = rate if settings.trunk == SMALL else rate * _CHECKPOINT_RATE
    groups: list[dict[str, Any]] = [
        {"params": list(network.trunk.parameters()), "lr": trunk},
        {"params": list(network.embedder.parameters()), "lr": rate},
    ]
    if proxies := list(criterion.parameters()):
        groups.append({"params": proxies, "lr": rate * _PROXY_RATE})
    optimizer = torch.optim.AdamW(groups, fused=True)
    rates = [group["lr"] for group in groups]
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps)


@torch.inference_mode()
def embed(network: NodeNetwork, views: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Embeddings of views, on the network's device.

    Parameters
    ----------
    views : uint8 array (N, 4, R, R)
        At least one.

    Returns
    -------
    float32 array (N, D)
    """
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(scale_views(to_device(np.array(views[i : i + batch_size]), device))).float().cpu()
        for i in range(0, len(views), batch_size)
    ]
    return torch.cat(parts).numpy()
