"""Threads for many small tensor jobs.

One thread per job and none inside operations: small operations lose more to the hand-over between
threads than they gain, and results do not depend on the number of cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

#: Torch initializes weights from one generator that all threads share.
_GENERATOR = threading.RLock()


def processors() -> int:
    """Processors that this process may use, which a scheduler often makes fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generator, seeded and for this thread alone; restored afterwards."""
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def worker_pool(most: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """A pool of one thread per core, with torch's own threads switched off meanwhile.

    Parameters
    ----------
    most : int, optional
        No more threads than this.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pool = ThreadPoolExecutor(min(processors(), most or processors()))
        try:
            yield pool
        finally:
            # After an error or an interruption, jobs that wait are not begun.
            pool.shutdown(cancel_futures=True)
    finally:
        torch.set_num_threads(threads)
