"""Random paste of segments, without a plan: one segment of any other train image is put where it
was in its own image; the label stays (after Ghiasi et al. 2021, Simple Copy-Paste)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heml.effect.arm import ARMS, Arm
from heml.effect.problem import Problem, Tell

if TYPE_CHECKING:
    from heml.effect.training_loop import Trained

#: Share of the images of a batch that get a segment.
SHARE = 0.5


def train(problem: Problem, seed: int, tell: Tell) -> Trained:
    from heml.effect.training_loop import train_network

    known = problem.train.of_known_groups()
    data = known.with_weights(known.group_balance())
    segments = data.segments
    if segments is None:
        raise ValueError("pasting segments at random needs the segments of the train images")
    present = [np.setdiff1d(np.unique(own), 0) for own in segments]

    def edit(images: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        donors = rng.choice(len(data), len(rows))
        for place in np.flatnonzero(rng.random(len(rows)) < SHARE):
            donor = int(donors[place])
            if len(present[donor]) == 0:
                continue
            pasted = segments[donor] == rng.choice(present[donor])
            images[place][:, pasted] = data.images[donor][:, pasted]
        return images

    return train_network(data, problem.classes, problem.settings, seed, tell, edit=edit)


ARMS.register(
    Arm(
        name="random_paste",
        rank=70,
        words="random paste of segments",
        description="Segments of other train images pasted without a plan (Ghiasi et al. 2021).",
        train=train,
        needs_segments=True,
    )
)
