"""Every arm of `debias_effect`: means, and the intervals that the stage measured."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from heml.effect.arm import ARMS
from heml.effect.intervals import Interval


@dataclass(frozen=True)
class ArmEffect:
    """One training arm, over its seeds.

    Parameters
    ----------
    arm : str
    seeds, n_train, n_test, n_worst : int
        `n_worst`: test images of the worst group, the smallest over seeds.
    worst_groups : tuple of str
        The groups that were worst, by seed.
    worst, average : Interval
        Accuracies, mean over seeds, with 95% intervals over seeds and test images.
    worst_values, average_values : tuple of float
        By seed.
    note : str
        What the test split cannot judge, or empty.
    """

    arm: str
    seeds: int
    n_train: int
    n_test: int
    n_worst: int
    worst_groups: tuple[str, ...]
    worst: Interval
    average: Interval
    worst_values: tuple[float, ...]
    average_values: tuple[float, ...]
    note: str

    @property
    def words(self) -> str:
        return ARMS[self.arm].words


def arm_effects(effect: pd.DataFrame) -> list[ArmEffect]:
    """All arms of a `debias_effect` table, by rank; none if it is empty."""
    arms = []
    for arm in (known.name for known in ARMS):
        own = effect[effect["arm"] == arm].sort_values("seed")
        if own.empty:
            continue
        first = own.iloc[0]
        worst = own["worst_group_accuracy"].to_numpy(float)
        average = own["average_accuracy"].to_numpy(float)
        arms.append(
            ArmEffect(
                arm=arm,
                seeds=len(own),
                n_train=int(first["n_train"]),
                n_test=int(first["n_test"]),
                n_worst=int(own["n_worst_group"].min()),
                worst_groups=tuple(own["worst_group"]),
                worst=Interval(
                    float(worst.mean()),
                    float(first["worst_group_low"]),
                    float(first["worst_group_high"]),
                ),
                average=Interval(
                    float(average.mean()), float(first["average_low"]), float(first["average_high"])
                ),
                worst_values=tuple(worst),
                average_values=tuple(average),
                note=first["note"],
            )
        )
    return arms
