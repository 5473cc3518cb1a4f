"""The rebalanced dataset, sampled by its weights: what its users load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heml.effect.arm import ARMS, Arm
from heml.effect.problem import Problem, Tell

if TYPE_CHECKING:
    from heml.effect.training_loop import Trained


def train(problem: Problem, seed: int, tell: Tell) -> Trained:
    from heml.effect.training_loop import train_network

    if problem.rebalanced is None:
        raise ValueError("there is no rebalanced dataset: run the stages before")
    return train_network(problem.rebalanced, problem.classes, problem.settings, seed, tell)


ARMS.register(
    Arm(
        name="rebalanced",
        rank=90,
        words="rebalanced dataset",
        description="The rebalanced dataset, sampled by its weights: what its users load.",
        train=train,
        always=True,
    )
)
