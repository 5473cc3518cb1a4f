"""Mean and intervals of every arm of `debias_effect`: over seeds, and over test images.

The seeds judge the same test images, so they add nothing to n: the interval over test images takes
the mean accuracy and the images of one worst cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t
from statsmodels.stats.proportion import proportion_confint

from data_contracts.debias_effect import ARMS

#: Arms in plain words.
ARM_WORDS = {
    "as_is": "data as it is",
    "group_balanced": "group-balanced sampling",
    "rebalanced": "rebalanced dataset",
}


@dataclass(frozen=True)
class Interval:
    """A mean with a 95% interval.

    Parameters
    ----------
    mean, low, high : float
    """

    mean: float
    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals share a value."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class ArmEffect:
    """One training arm, over its seeds.

    Parameters
    ----------
    arm : str
    seeds, n_train, n_test, n_worst : int
        `n_worst`: test images of the worst cell, the smallest over seeds.
    worst_cells : tuple of str
        The cells that were worst, by seed.
    worst, average : Interval
        Accuracies with t-intervals over seeds, clipped to [0, 1]; of one seed, the interval is
        the value itself.
    worst_images : Interval
        Worst-group accuracy with the Wilson interval over the `n_worst` test images.
    worst_values, average_values : tuple of float
        By seed.
    """

    arm: str
    seeds: int
    n_train: int
    n_test: int
    n_worst: int
    worst_cells: tuple[str, ...]
    worst: Interval
    average: Interval
    worst_images: Interval
    worst_values: tuple[float, ...]
    average_values: tuple[float, ...]

    @property
    def words(self) -> str:
        return ARM_WORDS[self.arm]


def over_seeds(values: np.ndarray) -> Interval:
    """Mean and 95% t-interval, clipped to [0, 1].

    Parameters
    ----------
    values : float array (seeds,)
    """
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, mean, mean)
    reach = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, max(mean - reach, 0.0), min(mean + reach, 1.0))


def over_images(accuracy: float, n: int) -> Interval:
    """Wilson interval of an accuracy measured on n images."""
    low, high = proportion_confint(accuracy * n, n, method="wilson")
    return Interval(accuracy, float(low), float(high))


def arm_effects(effect: pd.DataFrame) -> list[ArmEffect]:
    """All arms of a `debias_effect` table, in the contract's order."""
    arms = []
    for arm in ARMS:
        own = effect[effect["arm"] == arm].sort_values("seed")
        if own.empty:
            continue
        worst = own["worst_group_accuracy"].to_numpy(float)
        average = own["average_accuracy"].to_numpy(float)
        n_worst = int(own["n_worst_group"].min())
        arms.append(
            ArmEffect(
                arm=arm,
                seeds=len(own),
                n_train=int(own["n_train"].iloc[0]),
                n_test=int(own["n_test"].iloc[0]),
                n_worst=n_worst,
                worst_cells=tuple(own["worst_group"]),
                worst=over_seeds(worst),
                average=over_seeds(average),
                worst_images=over_images(float(worst.mean()), n_worst),
                worst_values=tuple(worst),
                average_values=tuple(average),
            )
        )
    return arms
