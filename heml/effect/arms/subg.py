"""Undersampling: every group is cut down to the smallest (SUBG, Idrissi et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heml.effect.arm import ARMS, Arm
from heml.effect.problem import Problem, Tell, TrainingSet

if TYPE_CHECKING:
    from heml.effect.training_loop import Trained


def train(problem: Problem, seed: int, tell: Tell) -> Trained:
    from heml.effect.training_loop import train_network

    known = problem.train.of_known_groups()
    data = known.take(smallest_groups(known, np.random.default_rng(seed)))
    return train_network(data, problem.classes, problem.settings, seed, tell)


def smallest_groups(data: TrainingSet, rng: np.random.Generator) -> np.ndarray:
    """Rows with as many of every group as the smallest has, int array, sorted."""
    groups = [np.flatnonzero(data.groups == group) for group in np.unique(data.groups)]
    least = min(map(len, groups))
    return np.sort(np.concatenate([rng.choice(rows, least, replace=False) for rows in groups]))


ARMS.register(
    Arm(
        name="subg",
        rank=30,
        words="undersampling",
        description="Every group is cut down to the size of the smallest "
        "(SUBG, Idrissi et al. 2022).",
        train=train,
    )
)
