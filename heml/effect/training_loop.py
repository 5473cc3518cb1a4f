"""One training loop for every arm: the same network, optimizer, augmentation and steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from heml.compute.device import choose_device, mixed_precision, to_device
from heml.compute.threads import seeded
from heml.effect.probe_network import as_input, small_network
from heml.effect.problem import Tell, TrainingSet, TrainingSettings

LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05

#: Loss of a batch from the network's outputs, float32 (B, classes) on its device, and the rows of
#: the training set (B,). What waits for the device in it waits in every step.
Loss = Callable[[Tensor, np.ndarray], Tensor]
#: Changes a batch of images: uint8 array (B, 3, S, S), the rows, and the random source.
Edit = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
#: Changes a batch of inputs and gives its loss: inputs, rows, network, random source.
Step = Callable[[Tensor, np.ndarray, nn.Module, np.random.Generator], Tensor]


@dataclass(frozen=True)
class Trained:
    """What an arm gives.

    Parameters
    ----------
    network : nn.Sequential
        (B, 3, S, S) → (B, classes), in evaluation mode.
    n_train : int
        Images that it could draw: those of weight 0 never are.
    """

    network: nn.Sequential
    n_train: int


def train_network(
    data: TrainingSet,
    classes: int,
    settings: TrainingSettings,
    seed: int,
    tell: Tell,
    *,
    loss: Loss | None = None,
    edit: Edit | None = None,
    step: Step | None = None,
) -> Trained:
    """Trains a small network on mirrored and shifted images, sampled by weight.

    Every arm takes the same number of steps, so that a larger training set is no longer training.

    Parameters
    ----------
    data : TrainingSet
    classes : int
    settings : TrainingSettings
    seed : int
        Of initial weights and batches.
    tell : callable
    loss : callable, optional
        Instead of cross-entropy.
    edit : callable, optional
        Applied to the images before mirroring.
    step : callable, optional
        Instead of `loss`, where inputs and loss belong together.

    Returns
    -------
    Trained
    """
    rng = np.random.default_rng(seed)
    with seeded(seed):
        network = small_network(classes)
    # Initialized on the processor: the same weights on every device.
    device = choose_device(settings.device)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=LEARNING_RATE, total_steps=settings.steps
    )
    loss = loss or cross_entropy(data)
    share = data.weights / data.weights.sum()
    network.train()
    for number in range(1, settings.steps + 1):
        rows = rng.choice(len(share), settings.batch_size, p=share)
        images = data.images[rows]
        if edit is not None:
            images = edit(images, rows, rng)
        inputs = _augmented(as_input(images, device), settings.size, rng)
        if step is not None:
            value = step(inputs, rows, network, rng)
        else:
            with mixed_precision(device):
                outputs = network(inputs)
            value = loss(outputs.float(), rows)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        schedule.step()
        if number % max(settings.steps // 4, 1) == 0:
            tell(number)
    return Trained(network.eval(), int(np.count_nonzero(data.weights)))


def cross_entropy(data: TrainingSet) -> Loss:
    """The mean cross-entropy of a batch of `data`."""

    def loss(outputs: Tensor, rows: np.ndarray) -> Tensor:
        return nn.functional.cross_entropy(outputs, to_device(data.labels[rows], outputs.device))

    return loss


def _augmented(inputs: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    flips = to_device(rng.random(len(inputs)) < 0.5, inputs.device)
    inputs = torch.where(flips[:, None, None, None], inputs.flip(-1), inputs)
    reach = max(size // 16, 1)
    down, right = rng.integers(-reach, reach + 1, size=2)
    return torch.roll(inputs, (int(down), int(right)), dims=(-2, -1))
