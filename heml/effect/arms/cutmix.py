"""CutMix (Yun et al. 2019): rectangles of other images, labels mixed by area."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heml.effect.arm import ARMS, Arm
from heml.effect.problem import Problem, Tell

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heml.effect.training_loop import Trained


def train(problem: Problem, seed: int, tell: Tell) -> Trained:
    from kornia.augmentation import RandomCutMixV2
    from torch import nn

    from heml.compute.device import mixed_precision, to_device
    from heml.compute.threads import seeded
    from heml.effect.training_loop import train_network

    data = problem.train
    mix = RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)

    def step(
        inputs: Tensor, rows: np.ndarray, network: nn.Module, rng: np.random.Generator
    ) -> Tensor:
        with seeded(int(rng.integers(2**31))):  # kornia draws from torch's global generator
            mixed, targets = mix(inputs, to_device(data.labels[rows], inputs.device))
        first, second, share = targets[0].unbind(-1)
        with mixed_precision(inputs.device):
            outputs = network(mixed)
        outputs = outputs.float()
        losses = [
            nn.functional.cross_entropy(outputs, target.long(), reduction="none")
            for target in (first, second)
        ]
        return (share * losses[0] + (1 - share) * losses[1]).mean()

    return train_network(data, problem.classes, problem.settings, seed, tell, step=step)


ARMS.register(
    Arm(
        name="cutmix",
        rank=60,
        words="CutMix",
        description="Rectangles of other images, labels mixed by area (Yun et al. 2019).",
        train=train,
    )
)
