"""Writing weights and arrays as safetensors."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


@contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """Safetensors reports a full disk as an error of its own; here it is the system's."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number.group(1))
        words = "the disk is full" if code == errno.ENOSPC else str(error)
        raise OSError(code, words, str(path)) from error


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes a safetensors file.

    Raises
    ------
    OSError
        If it cannot be written: "the disk is full".
    """
    with system_errors(path):
        save_file(dict(tensors), path)
