"""Writing that never leaves half a result: aside first, then renamed."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heml.storage.process_liveness import process_lives
from heml.storage.swap import exchange

_DAY = 24 * 60 * 60


@contextmanager
def write_aside(target: Path) -> Iterator[Path]:
    """A path to write a file or folder to; it takes the target's place when the block succeeds.

    A folder must be made by the block. On an error the target stays as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    aside = target.with_name(f".{target.name}.{owner()}.tmp")
    _remove(aside)
    try:
        yield aside
        if target.is_dir():
            _swap(aside, target)
        else:
            os.replace(aside, target)
    finally:
        _remove(aside)


def _swap(aside: Path, target: Path) -> None:
    """Puts a folder in the place of another; what was there goes."""
    if exchange(aside, target):
        _remove(aside)
        return
    old = target.with_name(f".{target.name}.{owner()}.old")
    _remove(old)
    target.rename(old)
    aside.rename(target)
    _remove(old)


def owner() -> str:
    """This process and thread, in the name of what it writes: others may share the folder."""
    return f"{os.getpid()}-{threading.get_ident()}@{_host()}"


def _host() -> str:
    return socket.gethostname().replace(".", "-")


def _remove_abandoned(target: Path) -> None:
    """Removes what killed writers of the target left; writers that live keep theirs."""
    for leftover in sorted(target.parent.glob(f".{target.name}.*")):
        if not is_abandoned(leftover):
            continue
        if leftover.name.endswith(".old") and not target.exists():
            # Killed between the two names: this is the last good version.
            leftover.rename(target)
        else:
            _remove(leftover)


def is_abandoned(path: Path) -> bool:
    """Whether a file or folder was written aside by a process that is gone.

    Of a process of another machine nobody here knows whether it lives: what it has not touched for
    a day counts as abandoned.
    """
    *_, writer, ending = ["", "", *path.name.split(".")]
    writer, _, host = writer.partition("@")
    pid, _, _thread = writer.partition("-")
    if not path.name.startswith(".") or ending not in ("tmp", "old") or not pid.isdigit():
        return False
    if host and host != _host():
        return older_than(path, days=1)
    return not process_lives(int(pid))


def older_than(path: Path, days: float) -> bool:
    """Whether a file or folder has not been written to for so long."""
    return time.time() - path.stat().st_mtime > days * _DAY


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
