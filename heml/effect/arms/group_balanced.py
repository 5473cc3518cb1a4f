"""Group-balanced sampling: every group is drawn equally often (Idrissi et al. 2022, RWG)."""

from __future__ import annotations

from torch import nn

from heml.effect.problem import Problem, Tell
from heml.effect.training_loop import train_network


def train(problem: Problem, seed: int, tell: Tell) -> nn.Module:
    known = problem.train.of_known_groups()
    data = known.with_weights(known.group_balance())
    return train_network(data, problem.classes, problem.settings, seed, tell)
