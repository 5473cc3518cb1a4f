"""Accuracy by cell: the worst one and the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CellAccuracy:
    """Accuracy of one network on the test cells.

    Parameters
    ----------
    by_cell : float array (C,)
    counts : int array (C,)
        Test images of each cell, at least one.
    """

    by_cell: np.ndarray
    counts: np.ndarray

    @property
    def worst(self) -> int:
        """Number of the cell with the lowest accuracy; the first of equals."""
        return int(self.by_cell.argmin())

    @property
    def worst_group(self) -> float:
        return float(self.by_cell.min())

    @property
    def average(self) -> float:
        """Mean over the cells: every cell counts the same."""
        return float(self.by_cell.mean())


def cell_accuracy(correct: np.ndarray, cells: np.ndarray) -> CellAccuracy:
    """Accuracy of every cell.

    Parameters
    ----------
    correct : bool array (N,)
    cells : int array (N,)
        0 to C - 1, each at least once.

    Raises
    ------
    ValueError
        If a cell has no image: its accuracy is not a number.
    """
    counts = np.bincount(cells)
    if len(counts) == 0 or counts.min() == 0:
        raise ValueError("every test cell needs an image; number only the cells that have one")
    return CellAccuracy(np.bincount(cells, correct) / counts, counts)
