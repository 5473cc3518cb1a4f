"""Two folders change names in one step, where the system can."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

#: Of Linux' `fcntl.h` and `linux/fs.h`.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def exchange(first: Path, second: Path) -> bool:
    """Gives each path what the other one names, at once: a reader finds one or the other.

    Returns
    -------
    bool
        False where system or file system cannot, and nothing has changed.
    """
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(first), os.fsencode(second)
    return bool(rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)
