"""Group distributionally robust optimization (Sagawa et al. 2020, algorithm 1): the groups' losses
are weighted by how bad they are, with group-balanced batches as in the authors' code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heml.effect.arm import ARMS, Arm
from heml.effect.problem import Problem, Tell

if TYPE_CHECKING:
    from torch import Tensor

    from heml.effect.training_loop import Trained

#: Step size of the groups' weights, the paper's.
STEP = 0.01


def train(problem: Problem, seed: int, tell: Tell) -> Trained:
    import torch
    from torch import nn

    from heml.compute.device import to_device
    from heml.effect.training_loop import train_network

    known = problem.train.of_known_groups()
    data = known.with_weights(known.group_balance())
    names, groups = np.unique(data.groups, return_inverse=True)
    weights = torch.full((len(names),), 1 / len(names))

    def loss(outputs: Tensor, rows: np.ndarray) -> Tensor:
        nonlocal weights
        device, own = outputs.device, groups[rows]
        labels = to_device(data.labels[rows], device)
        each = nn.functional.cross_entropy(outputs, labels, reduction="none")
        sums = torch.zeros(len(names), device=device).index_add(0, to_device(own, device), each)
        drawn = np.bincount(own, minlength=len(names)).clip(min=1).astype(np.float32)
        means = sums / to_device(drawn, device)
        weights = weights.to(device) * torch.exp(STEP * means.detach())
        weights = weights / weights.sum()
        return (weights * means).sum()

    return train_network(data, problem.classes, problem.settings, seed, tell, loss=loss)


ARMS.register(
    Arm(
        name="group_dro",
        rank=50,
        words="GroupDRO",
        description="Groups' losses are weighted by how bad they are (Sagawa et al. 2020).",
        train=train,
    )
)
