"""Groups: combinations of the label with attribute values, as codes and as words.

The one place that says which records share a group, and how a missing attribute value is spelled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from heml.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

#: An attribute value that the input does not give. Such a record is kept, but belongs to no
#: attribute.
MISSING = "(missing)"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
#: Between the names of columns that form an attribute together.
TIMES = " × "
#: Begins the name of an attribute that was found in the images, not given by a column.
DISCOVERED = "discovered."


def joined(values: Iterable[str], separator: str = " · ") -> str:
    """Values as one text, which no other values give.

    A separator inside a value gets a backslash before it, so that "a · b" beside "c" and "a" beside
    "b · c" differ.
    """
    mark = separator.strip()
    return separator.join(value.replace(mark, f"\\{mark}") for value in values)


def group_codes(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[np.ndarray, list[str]]:
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
        The C combinations, values joined by ` · `; see `joined`.
    """
    text = [joined(row) for row in frame[list(columns)].astype(str).to_numpy()]
    words, codes = np.unique(np.array(text, dtype=str), return_inverse=True)
    return codes, words.tolist()


def in_order(values: Iterable[str], declared: Sequence[str] = ()) -> list[str]:
    """Values in the order in which they are numbered: class 10 comes after class 9.

    Parameters
    ----------
    values : iterable of str
    declared : sequence of str
        Names in the input's own order, as of its class labels: all of them come first, also those
        that no value has, so that the numbers stay the input's.

    Returns
    -------
    list of str
        Others by number where all of them are numbers, else by text.
    """
    others = sorted(set(values) - set(declared))
    if all(_NUMBER.fullmatch(value) for value in others):
        others.sort(key=float)
    return [*dict.fromkeys(declared), *others]


def known_attributes(frame: pd.DataFrame, attributes: Sequence[str]) -> np.ndarray:
    """Whether all of a record's attribute values are known, bool array (N,)."""
    return ~(frame[list(attributes)] == MISSING).any(axis=1).to_numpy()


def combined(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """The values of several columns as one attribute's, `MISSING` where one of them is.

    Returns
    -------
    object array (N,) of str
        Values joined by ` × `, as the names of such attributes are.
    """
    values = frame[list(columns)].astype(str).to_numpy(object)
    both = np.array([joined(row, TIMES) for row in values], dtype=object)
    both[~known_attributes(frame, columns)] = MISSING
    return both


def attributes_in_use(store: Store, attributes: Sequence[str]) -> list[str]:
    """The given attributes or, where the recipe names none, the discovered one.

    Raises
    ------
    FileNotFoundError
        If attributes are to be discovered and were not yet.
    """
    return list(attributes) or [str(store.summary("discovered_groups")["attribute"])]


def discovery(store: Store, attributes: Sequence[str]) -> list[str]:
    """What a stage's fingerprint must hold of discovered attributes: nothing if there are none."""
    found = any(attribute.startswith(DISCOVERED) for attribute in attributes)
    return [store.fingerprint("discovered_groups")] if found else []


def group_name(
    label_name: str, label: str, attributes: Sequence[str], values: Sequence[str]
) -> str:
    """A group in words, as every table, figure and message spells it."""
    pairs = zip((label_name, *attributes), (label, *values), strict=True)
    return joined([f"{name}={value}" for name, value in pairs])
