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
_GENERATOR = threading.Lock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generator, seeded and for this thread alone; restored afterwards."""
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def worker_pool() -> Iterator[ThreadPoolExecutor]:
    """A pool of one thread per core, with torch's own threads switched off meanwhile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pool = ThreadPoolExecutor(os.cpu_count() or 1)
        try:
            yield pool
        finally:
            # After an error or an interruption, jobs that wait are not begun.
            pool.shutdown(cancel_futures=True)
    finally:
        torch.set_num_threads(threads)
