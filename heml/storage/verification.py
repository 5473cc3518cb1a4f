"""Whether files are what was written: by hash, and by hash only where the file system says that a
file may have changed.

Like git's index: beside every hash that was right stands the state of the file then (size, times,
inode). While the state is the same, so is the content, and nothing is read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heml.storage.atomic_write import write_aside

#: Folder of the states, in the store's; it may be removed, and files are read once more.
VERIFIED = ".verified"
#: Nanoseconds that a file must have stayed as it is before its state is believed: two changes
#: within one tick of the file system's clock have the same times.
SETTLED = 50_000_000
#: A store that cannot be written to is still read.
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged_files(
    root: Path, stage: str, hashes: Mapping[str, str], *, reread: bool = False
) -> list[str]:
    """Files of a stage that are missing or are not what was written.

    Parameters
    ----------
    root : pathlib.Path
        The store's folder.
    stage : str
    hashes : mapping of str to str
        Path relative to the store → SHA-256 of what was written.
    reread : bool
        Hashes every file, also where the file system says that nothing has changed: what a disk
        does by itself changes no times.

    Returns
    -------
    list of str
        Paths relative to the store.
    """
    known = _known(root, stage)
    right: dict[str, list[Any]] = {}
    damaged = []
    for name, expected in hashes.items():
        path = root / name
        if not path.is_file():
            damaged.append(name)
            continue
        state = _state(path, expected)
        if (not reread and known.get(name) == state) or file_hash(path) == expected:
            right[name] = state
        else:
            damaged.append(name)
    if right != known:
        _remember(root, stage, right)
    return damaged


def remember_verified(root: Path, stage: str, hashes: Mapping[str, str]) -> None:
    """Takes files as they are now for what was written."""
    _remember(root, stage, {name: _state(root / name, h) for name, h in hashes.items()})


def _state(path: Path, expected: str) -> list[Any]:
    stat = path.stat()
    return [expected, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _known(root: Path, stage: str) -> dict[str, list[Any]]:
    try:
        content = json.loads((root / VERIFIED / f"{stage}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        # Damaged states are no states: files are read.
        return {}
    return content if isinstance(content, dict) else {}


def _remember(root: Path, stage: str, states: Mapping[str, list[Any]]) -> None:
    now = time.time_ns()
    states = {name: state for name, state in states.items() if now - state[3] > SETTLED}
    try:
        with write_aside(root / VERIFIED / f"{stage}.json") as path:
            path.write_text(json.dumps(states), encoding="utf-8")
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
