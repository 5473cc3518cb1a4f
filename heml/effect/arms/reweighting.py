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
    import torch
    from torch import nn

    from heml.effect.training_loop import train_network

    data = problem.train.of_known_groups()
    labels = torch.from_numpy(data.labels)
    weights = torch.from_numpy(data.group_balance()).float()

    def loss(outputs: Tensor, rows: np.ndarray) -> Tensor:
        each = nn.functional.cross_entropy(outputs, labels[rows], reduction="none")
        return (each * weights[rows]).mean()

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
