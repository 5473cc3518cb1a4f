"""Which device trains the metrics, and how tensors get there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor


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
def lane(device: torch.device) -> Iterator[None]:
    """Where one of several networks that train side by side queues its work.

    On CUDA a stream of its own: one small network fills a fraction of the device, and kernels of
    different streams overlap. The results are waited for at the end.
    """
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        yield
        stream.synchronize()


def mixed_precision(device: torch.device) -> torch.autocast | nullcontext[None]:
    """bfloat16 for convolutions and matrix products on CUDA; full precision elsewhere."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()
