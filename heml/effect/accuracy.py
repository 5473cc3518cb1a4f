"""Accuracy by group: the worst one and the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy of one network on the test groups.

    Parameters
    ----------
    by_group : float array (C,)
    counts : int array (C,)
        Test images of each group, at least one.
    """

    by_group: np.ndarray
    counts: np.ndarray

    @property
    def worst(self) -> int:
        """Number of the group with the lowest accuracy; the first of equals."""
        return int(self.by_group.argmin())

    @property
    def worst_group(self) -> float:
        return float(self.by_group.min())

    @property
    def average(self) -> float:
        """Mean over the groups: every group counts the same."""
        return float(self.by_group.mean())


def group_accuracy(correct: np.ndarray, groups: np.ndarray) -> GroupAccuracy:
    """Accuracy of every group.

    Parameters
    ----------
    correct : bool array (N,)
    groups : int array (N,)
        0 to C - 1, each at least once.

    Raises
    ------
    ValueError
        If a group has no image: its accuracy is not a number.
    """
    counts = np.bincount(groups)
    if len(counts) == 0 or counts.min() == 0:
        raise ValueError("every test group needs an image; number only the groups that have one")
    return GroupAccuracy(np.bincount(groups, correct) / counts, counts)
