"""95% intervals of accuracies over everything that is drawn by chance: test images, seeds, splits.

One bootstrap draws at every level of the experiment:

- **splits** (biased training sets with their test sets) and, within a split, **seeds** (initial
  weights and batches): n - 1 of n with replacement. With so few, drawing n of n would understate
  the variance by the factor (n - 1) / n; drawing n - 1 makes it unbiased (McCarthy & Snowden 1985).
  A level with one member cannot tell how much it varies, and adds nothing.
- **test images**: Bayesian bootstrap (Rubin 1981), Dirichlet weights within each group, with half a
  right and half a wrong image added to each group (Jeffreys' prior). For a single network this is
  exactly Jeffreys' interval of a proportion, so that 60 right of 60 is not certainty. All seeds,
  arms and splits share an image's weight, because they judge the same image.

The worst group of each network is the one found with all images, not the worst of each draw: the
lowest of several noisy numbers errs low, and would do so twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from heml.effect.accuracy import group_accuracy

DRAWS = 4000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value with a 95% interval.

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
class Trial:
    """One split: its test images, and which of them each network got right.

    Parameters
    ----------
    images : sequence of str
        What names each test image; the same image may be in several splits.
    groups : int array (N,)
    correct : mapping of arm to bool array (seeds, N)
    """

    images: Sequence[str]
    groups: np.ndarray
    correct: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Draws:
    """What the bootstrap gives of one arm.

    Parameters
    ----------
    worst, average : float
        Mean over seeds and splits, of worst-group and average accuracy.
    worst_draws, average_draws : float array (DRAWS,)
        The same for every draw. Draws of several arms belong together.
    """

    worst: float
    average: float
    worst_draws: np.ndarray
    average_draws: np.ndarray


def interval(value: float, draws: np.ndarray) -> Interval:
    """The percentile interval, widened where needed to hold the value."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, min(float(low), value), max(float(high), value))


def bootstrap(trials: Sequence[Trial], seed: int = 0, draws: int = DRAWS) -> dict[str, Draws]:
    """Draws of all arms of an experiment.

    Parameters
    ----------
    trials : sequence of Trial
        With the same arms; their seeds may differ in number.
    seed : int
    draws : int
    """
    rng = np.random.default_rng(seed)
    arms = list(trials[0].correct)
    weights = _image_weights(trials, rng, draws)
    chosen = _drawn(len(trials), rng, draws)
    result = {}
    for arm in arms:
        values = [_of_trial(t, t.correct[arm], w) for t, w in zip(trials, weights, strict=True)]
        per_split = []
        for _, drawn in values:
            seeds = _drawn(drawn.shape[1], rng, draws)
            per_split.append([_mean_of(measure, seeds) for measure in drawn])
        worst, average = (_mean_of(np.stack([p[m] for p in per_split]), chosen) for m in (0, 1))
        means = np.mean([found for found, _ in values], axis=0)
        result[arm] = Draws(float(means[0]), float(means[1]), worst, average)
    return result


def _drawn(count: int, rng: np.random.Generator, draws: int) -> np.ndarray:
    """How often each of n members is in a draw of n - 1, as shares; float array (draws, n)."""
    if count == 1:
        return np.ones((draws, 1))
    times = rng.multinomial(count - 1, np.full(count, 1 / count), size=draws)
    return times / (count - 1)


def _mean_of(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Mean of (n, draws) values by (draws, n) shares."""
    return (values.T * shares).sum(axis=1)


def _image_weights(
    trials: Sequence[Trial], rng: np.random.Generator, draws: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per trial the weights of its images (draws, N), and of the added ones (draws, groups, 2)."""
    names = sorted({name for trial in trials for name in trial.images})
    place = {name: number for number, name in enumerate(names)}
    shared = rng.standard_exponential((draws, len(names)))
    groups = 1 + max(int(trial.groups.max()) for trial in trials)
    added = rng.standard_gamma(0.5, (draws, groups, 2))
    return [(shared[:, [place[name] for name in trial.images]], added) for trial in trials]


def _of_trial(
    trial: Trial, correct: np.ndarray, weights: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Worst-group and average accuracy: mean over seeds (2,), drawn by seed (2, seeds, draws)."""
    own, added = weights
    found = [group_accuracy(right, trial.groups) for right in correct]
    means = np.array([[f.worst_group for f in found], [f.average for f in found]]).mean(axis=1)
    member = np.eye(len(found[0].counts))[trial.groups]  # (N, groups)
    added = added[:, : member.shape[1]]
    total = own @ member + added.sum(axis=2)
    drawn = np.empty((2, len(correct), len(own)))
    for seed, right in enumerate(correct):
        accuracy = ((own * right) @ member + added[:, :, 0]) / total
        drawn[:, seed] = accuracy[:, found[seed].worst], accuracy.mean(axis=1)
    return means, drawn


def share_closed(arm: Draws, plain: Draws, oracle: Draws) -> Interval | None:
    """Share of the worst-group gap that an arm closes: (arm - plain) / (oracle - plain).

    Returns
    -------
    Interval or None
        None where the gap is not above zero in at least 97.5% of the draws: then its share means
        nothing.
    """
    gap = oracle.worst_draws - plain.worst_draws
    if oracle.worst <= plain.worst or np.quantile(gap, (1 - LEVEL) / 2) <= 0:
        return None
    value = (arm.worst - plain.worst) / (oracle.worst - plain.worst)
    return interval(value, (arm.worst_draws - plain.worst_draws) / gap)


def difference(first: Draws, second: Draws) -> Interval:
    """Worst-group accuracy of the first minus that of the second."""
    return interval(first.worst - second.worst, first.worst_draws - second.worst_draws)
