"""The data as it is: what everybody does first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heml.effect.arm import ARMS, Arm
from heml.effect.problem import Problem, Tell

if TYPE_CHECKING:
    from heml.effect.training_loop import Trained


def train(problem: Problem, seed: int, tell: Tell) -> Trained:
    from heml.effect.training_loop import train_network

    return train_network(problem.train, problem.classes, problem.settings, seed, tell)


ARMS.register(
    Arm(
        name="erm",
        rank=10,
        words="data as it is",
        description="Empirical risk minimization on the data as it is: what everybody does first.",
        train=train,
        always=True,
    )
)
