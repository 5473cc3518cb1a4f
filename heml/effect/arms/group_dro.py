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

    from heml.effect.training_loop import train_network

    known = problem.train.of_known_groups()
    data = known.with_weights(known.group_balance())
    labels = torch.from_numpy(data.labels)
    names, places = np.unique(data.groups, return_inverse=True)
    groups = torch.from_numpy(places)
    weights = torch.full((len(names),), 1 / len(names))

    def loss(outputs: Tensor, rows: np.ndarray) -> Tensor:
        nonlocal weights
        each = nn.functional.cross_entropy(outputs, labels[rows], reduction="none")
        drawn = torch.bincount(groups[rows], minlength=len(names))
        sums = torch.zeros(len(names)).index_add(0, groups[rows], each)
        means = sums / drawn.clamp(min=1)
        weights = weights * torch.exp(STEP * means.detach())
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
