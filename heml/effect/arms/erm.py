"""The data as it is: what everybody does first."""

from __future__ import annotations

from torch import nn

from heml.effect.problem import Problem, Tell
from heml.effect.training_loop import train_network


def train(problem: Problem, seed: int, tell: Tell) -> nn.Sequential:
    return train_network(problem.train, problem.classes, problem.settings, seed, tell)
