"""Group-balanced sampling: every group is drawn equally often (Idrissi et al. 2022, RWG)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heml.effect.arm import ARMS, Arm
from heml.effect.problem import Problem, Tell

if TYPE_CHECKING:
    from heml.effect.training_loop import Trained


def train(problem: Problem, seed: int, tell: Tell) -> Trained:
    from heml.effect.training_loop import train_network

    known = problem.train.of_known_groups()
    data = known.with_weights(known.group_balance())
    return train_network(data, problem.classes, problem.settings, seed, tell)


ARMS.register(
    Arm(
        name="group_balanced",
        rank=20,
        words="group-balanced sampling",
        description="Every group is drawn equally often (Idrissi et al. 2022, RWG).",
        train=train,
        always=True,
    )
)
