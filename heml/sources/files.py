"""Reading files by the names that a table gives, and never one outside the dataset's root."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path, PureWindowsPath

from heml.sources.raw import Unacceptable


class Files:
    """The files below a root.

    Parameters
    ----------
    root : pathlib.Path
    max_bytes : int
        Larger files are not read.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes

    @cached_property
    def _real_root(self) -> str:
        return os.path.realpath(self._root)

    def _locate(self, name: str) -> str:
        """Absolute path of a file below the root, links resolved."""
        if "\0" in name:
            raise Unacceptable("unsafe_path", "the name holds a NUL character")
        if name.startswith("/") or PureWindowsPath(name).is_absolute():
            raise Unacceptable(
                "unsafe_path", f"'{name}' is absolute; names are relative to the root"
            )
        if normal(name).split("/")[0] == "..":
            raise Unacceptable("unsafe_path", f"'{name}' leaves the root")
        path = os.path.realpath(os.path.join(self._real_root, name))
        if os.path.commonpath([path, self._real_root]) != self._real_root:
            raise Unacceptable("unsafe_path", f"'{name}' leads out of the root, to {path}")
        return path

    def read(self, name: str, missing: str) -> bytes:
        """Content of a file.

        Parameters
        ----------
        name : str
            Relative to the root.
        missing : str
            The reason if there is no such file.

        Raises
        ------
        Unacceptable
        """
        if not name.strip():
            raise Unacceptable(missing, "the name is empty")
        path = self._locate(name)
        # also keeps pipes and devices away, which would block
        if not os.path.isfile(path):
            hint = " (write / between folders)" if "\\" in name else ""
            raise Unacceptable(missing, f"there is no file '{name}'{hint}")
        try:
            size = os.path.getsize(path)
            if size > self._max_bytes:
                raise Unacceptable("too_large", f"'{name}' has {size} bytes")
            return Path(path).read_bytes()
        except OSError as error:
            raise Unacceptable("unreadable_file", f"'{name}': {error.strerror}") from error

    def stamp(self, name: str) -> tuple[int, int] | None:
        """Size in bytes and time of change in nanoseconds; None if there is no such file."""
        try:
            status = os.stat(self._locate(name))
        except (Unacceptable, OSError):
            return None
        return status.st_size, status.st_mtime_ns


def normal(name: str) -> str:
    """The name without `.` parts, doubled slashes and `..` parts that stay inside."""
    return os.path.normpath(name.strip()) if name.strip() else ""
