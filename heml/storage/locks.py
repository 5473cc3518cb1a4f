"""One process of a machine at a time. The kernel gives a lock back when its process ends, however
it ends: nothing is ever held by the dead."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Waits for its turn and runs the block.

    Parameters
    ----------
    path : pathlib.Path
        The lock: an empty file, which stays.
    on_wait : callable
        Called if another process has the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_locked(path: Path) -> bool:
    """Whether a process of this machine holds a lock now.

    Parameters
    ----------
    path : pathlib.Path
        As for `locked`; need not exist.
    """
    if not path.exists():
        return False
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
