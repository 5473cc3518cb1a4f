"""Threads for many small tensor jobs.

One thread per job and none inside operations: small operations lose more to the hand-over between
threads than they gain, and results do not depend on the number of cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


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
