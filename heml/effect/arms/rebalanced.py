"""The rebalanced dataset, sampled by its weights: what its users load."""

from __future__ import annotations

from torch import nn

from heml.effect.problem import Problem, Tell
from heml.effect.training_loop import train_network


def train(problem: Problem, seed: int, tell: Tell) -> nn.Module:
    if problem.rebalanced is None:
        raise ValueError("there is no rebalanced dataset: run the stages before")
    return train_network(problem.rebalanced, problem.classes, problem.settings, seed, tell)
