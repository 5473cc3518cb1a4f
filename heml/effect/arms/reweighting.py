"""Reweighting: all images are drawn alike, their losses count by the inverse size of their group
(Sagawa et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heml.effect.arm import ARMS, Arm
from heml.effect.problem import Problem, Tell

if TYPE_CHECKING:
    from torch import Tensor

    from heml.effect.training_loop import Trained


def train(problem: Problem, seed: int, tell: Tell) -> Trained:
    from torch import nn

    from heml.compute.device import to_device
    from heml.effect.training_loop import train_network

    data = problem.train.of_known_groups()
    weights = data.group_balance().astype(np.float32)

    def loss(outputs: Tensor, rows: np.ndarray) -> Tensor:
        labels = to_device(data.labels[rows], outputs.device)
        each = nn.functional.cross_entropy(outputs, labels, reduction="none")
        return (each * to_device(weights[rows], outputs.device)).mean()

    return train_network(data, problem.classes, problem.settings, seed, tell, loss=loss)


ARMS.register(
    Arm(
        name="reweighting",
        rank=40,
        words="reweighting",
        description="Losses count by the inverse size of their group (Sagawa et al. 2020).",
        train=train,
    )
)
