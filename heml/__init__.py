"""HEML: find the segment that carries a bias, recombine segments, rebalance the dataset.

The method, in plain Python. Knows nothing of Dagster.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heml.notebook.rebalanced_dataset import RebalancedDataset

__version__ = "0.1.0"


def open_dataset(folder: str | Path, store: str | Path | None = None) -> RebalancedDataset:
    """Opens a dataset folder: where its rows came from, their parents, the metric tree.

    Parameters
    ----------
    folder : path
        Such as `store/demo/rebalanced_dataset`.
    store : path, optional
        Folder of the run's other results, for the metric tree; default the folder above.

    Raises
    ------
    heml.dataset_folder.manifest_file.DatasetError
        If the folder holds no whole dataset.
    """
    # imported here: who only wants the version waits for nothing
    from heml.notebook.rebalanced_dataset import RebalancedDataset

    return RebalancedDataset(Path(folder), None if store is None else Path(store))
