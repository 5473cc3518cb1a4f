"""Every arm of `debias_effect`: means, and the intervals that the stage measured."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from data_contracts.debias_effect import ARMS
from heml.effect.intervals import Interval

#: Arms in plain words.
ARM_WORDS = {
    "erm": "data as it is",
    "group_balanced": "group-balanced sampling",
    "subg": "undersampling",
    "reweighting": "reweighting",
    "group_dro": "GroupDRO",
    "cutmix": "CutMix",
    "random_paste": "random paste of segments",
    "dfr": "last-layer retraining",
    "rebalanced": "rebalanced dataset",
}


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
        return ARM_WORDS[self.arm]


def arm_effects(effect: pd.DataFrame) -> list[ArmEffect]:
    """All arms of a `debias_effect` table, in the contract's order; none if it is empty."""
    arms = []
    for arm in ARMS:
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
