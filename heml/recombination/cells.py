"""How many samples each cell should get."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heml.settings import RebalanceSettings


def wanted_samples(cells: pd.DataFrame, settings: RebalanceSettings) -> pd.DataFrame:
    """Targets and wanted recombinations per cell.

    Every cell is to have as many records as the largest. Cells are then given same-cell
    recombinations (controls), so that being recombined tells little about label or group; deficits
    come first when the budget is short.

    Parameters
    ----------
    cells : DataFrame
        The `coverage` table.

    Returns
    -------
    DataFrame
        `cells` with n_target, deficit (edits that move a group or label into the cell) and
        controls (edits within the cell).
    """
    n = cells["n"].to_numpy()
    total = int(n.sum())
    target = np.full(len(n), n.max())
    deficit = (target - n).astype(float)
    budget = int(settings.budget * total)
    if deficit.sum() > budget:
        deficit *= budget / deficit.sum()
    deficit = np.floor(deficit).astype(int)
    controls = np.minimum(settings.controls * deficit.max() - deficit, n)
    controls = np.floor(np.maximum(controls, 0)).astype(int)
    return cells.assign(n_target=target, deficit=deficit, controls=controls)
