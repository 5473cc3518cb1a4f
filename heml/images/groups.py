"""Cells: combinations of the label with group values, as codes and as words.

The one place that says which records share a cell, and how a missing group value is spelt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from heml.storage.store import Store

#: A group value that the input does not give. Such a record is kept, but belongs to no group.
MISSING = "(missing)"
#: Between the names of columns that form a group together.
TIMES = " × "
#: Begins the name of a group that was found in the images, not given by a column.
DISCOVERED = "discovered."


def cell_codes(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Codes of the combinations of values that occur.

    Parameters
    ----------
    frame : DataFrame
    columns : sequence of str
        At least one; values are compared as text.

    Returns
    -------
    codes : int array (N,)
        0 to C - 1, in the order of the words.
    words : list of str
        The C combinations, values joined by ` · `.
    """
    text = [" · ".join(row) for row in frame[list(columns)].astype(str).to_numpy()]
    words, codes = np.unique(np.array(text, dtype=str), return_inverse=True)
    return codes, words.tolist()


def known_groups(frame: pd.DataFrame, groups: Sequence[str]) -> np.ndarray:
    """Whether all of a record's group values are known, bool array (N,)."""
    return ~(frame[list(groups)] == MISSING).any(axis=1).to_numpy()


def combined(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """The values of several columns as one group's, `MISSING` where one of them is.

    Returns
    -------
    object array (N,) of str
        Values joined by ` × `, as the names of such groups are.
    """
    values = frame[list(columns)].astype(str).to_numpy(object)
    joined = np.array([TIMES.join(row) for row in values], dtype=object)
    joined[~known_groups(frame, columns)] = MISSING
    return joined


def groups_in_use(store: Store, groups: Sequence[str]) -> list[str]:
    """The given groups or, where the recipe names none, the discovered one.

    Raises
    ------
    FileNotFoundError
        If groups are to be discovered and were not yet.
    """
    return list(groups) or [str(store.summary("discovered_groups")["group"])]


def discovery(store: Store, groups: Sequence[str]) -> list[str]:
    """What a stage's fingerprint must hold of discovered groups: nothing if there are none."""
    found = any(group.startswith(DISCOVERED) for group in groups)
    return [store.fingerprint("discovered_groups")] if found else []


def cell_name(label_name: str, label: str, groups: Sequence[str], values: Sequence[str]) -> str:
    """A cell in words, as every table, figure and message spells it."""
    pairs = zip((label_name, *groups), (label, *values), strict=True)
    return " · ".join(f"{name}={value}" for name, value in pairs)
