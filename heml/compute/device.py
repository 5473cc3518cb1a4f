"""Which device trains the metrics, and how tensors get there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor

#: Streams of each thread.
_OF_THREAD = threading.local()


def choose_device(wanted: str) -> torch.device:
    """The device to train on.

    Parameters
    ----------
    wanted : str
        `auto` (CUDA, else MPS, else the processor), `cpu`, `cuda` or `mps`.

    Raises
    ------
    ValueError
        If the wanted device is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return torch.device(next(name for name, found in there.items() if found))
    if not there.get(wanted, False):
        found = ", ".join(name for name, is_there in there.items() if is_there)
        raise ValueError(f"device: this machine has no {wanted}; use auto or: {found}")
    return torch.device(wanted)


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """A copy of the array on the device; to CUDA through pinned memory, without waiting."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@contextmanager
def stream(device: torch.device) -> Iterator[None]:
    """Where one of several networks that train side by side queues its work.

    On CUDA a stream of the thread: one small network fills a fraction of the device, and kernels of
    different streams overlap. Memory that is free again serves later work of the same stream alone,
    so a thread keeps its stream. The results are waited for at the end.
    """
    if device.type != "cuda":
        yield
        return
    streams = _OF_THREAD.__dict__.setdefault("streams", {})
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)
    with torch.cuda.stream(streams[device]):
        try:
            yield
        finally:
            streams[device].synchronize()


def threads_on(device: torch.device) -> int | None:
    """Threads that may run networks on a device side by side; None: any number."""
    return 1 if device.type == "mps" else None  # Metal ends a process in which two threads use it


def mixed_precision(device: torch.device) -> torch.autocast | nullcontext[None]:
    """bfloat16 for convolutions and matrix products on CUDA; full precision elsewhere.

    Older accelerators only emulate bfloat16, slower than full precision.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()
