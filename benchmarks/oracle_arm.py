"""An unbiased training set of the same size: the upper bound, unattainable in practice."""

from __future__ import annotations

from heml.effect.arm import ARMS, Arm
from heml.effect.problem import Problem, Tell
from heml.effect.training_loop import Trained, train_network


def train(problem: Problem, seed: int, tell: Tell) -> Trained:
    if problem.oracle is None:
        raise ValueError("there is no unbiased training set: name one in the task's split 'oracle'")
    return train_network(problem.oracle, problem.classes, problem.settings, seed, tell)


ORACLE = ARMS.register(
    Arm(
        name="oracle",
        rank=100,
        words="unbiased images, as many",
        description="An unbiased training set of the same size: upper bound, unattainable in "
        "practice.",
        train=train,
    )
)
