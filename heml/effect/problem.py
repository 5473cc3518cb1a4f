"""What the arms are given: training sets as small arrays, and the settings all share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np


class TrainingSettings(Protocol):
    """What all arms share: side of the images in pixels, optimizer steps, images of a step, and the
    device, as `heml.compute.device.choose_device` takes it.
    """

    @property
    def size(self) -> int: ...

    @property
    def steps(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def device(self) -> str: ...


#: Told the number of the step that is done.
Tell = Callable[[int], None]


@dataclass(frozen=True)
class TrainingSet:
    """Images to train on.

    Parameters
    ----------
    images : uint8 array (N, 3, S, S)
    labels : int array (N,)
    groups : int array (N,)
        Group (label × attributes) of each image; -1 where an attribute value is not known.
    weights : float array (N,)
        Sampling weights, of any scale.
    segments : uint8 array (N, S, S), optional
        Number of the segment that each pixel belongs to; 0 for none. Equal numbers in different
        images mean nothing.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    weights: np.ndarray
    segments: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> TrainingSet:
        """The rows, which may repeat."""
        segments = None if self.segments is None else self.segments[rows]
        return TrainingSet(
            self.images[rows], self.labels[rows], self.groups[rows], self.weights[rows], segments
        )

    def with_weights(self, weights: np.ndarray) -> TrainingSet:
        return replace(self, weights=weights)

    def of_known_groups(self) -> TrainingSet:
        """Without the images whose group is not known: what balances groups cannot place them."""
        return self if (self.groups >= 0).all() else self.take(np.flatnonzero(self.groups >= 0))

    def group_balance(self) -> np.ndarray:
        """Weights with which every group counts the same, mean 1; float array (N,)."""
        counts = np.bincount(self.groups)
        return len(self) / (np.count_nonzero(counts) * counts[self.groups])


@dataclass(frozen=True)
class Problem:
    """What an arm may use: never the test split.

    Parameters
    ----------
    train : TrainingSet
        The real train split.
    classes : int
        Number of label values.
    settings : TrainingSettings
    validation : TrainingSet, optional
        The real validation split, where there is one.
    rebalanced : TrainingSet, optional
        The train split of the rebalanced dataset.
    oracle : TrainingSet, optional
        An unbiased training set: only benchmarks have one.
    """

    train: TrainingSet
    classes: int
    settings: TrainingSettings
    validation: TrainingSet | None = None
    rebalanced: TrainingSet | None = None
    oracle: TrainingSet | None = None
