"""The rebalanced dataset, sampled by its weights: what its users load."""

from __future__ import annotations

from heml.effect.arm import ARMS, Arm
from heml.effect.problem import Problem, Tell
from heml.effect.training_loop import Trained, train_network


def train(problem: Problem, seed: int, tell: Tell) -> Trained:
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
