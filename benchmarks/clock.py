"""Wall and processor time of a block, and the peak of its tensors' bytes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch.profiler import ProfilerActivity, profile


@dataclass
class Took:
    """Seconds: wall, and processor time of all threads of this process."""

    wall: float = 0.0
    cpu: float = 0.0

    def as_dict(self) -> dict[str, float]:
        return {"wall_s": self.wall, "cpu_s": self.cpu}


@contextmanager
def clock() -> Iterator[Took]:
    """Measures the block."""
    took = Took()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield took
    finally:
        took.wall, took.cpu = time.perf_counter() - wall, time.process_time() - cpu


def fastest(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Least processor time of each function, in seconds; the functions take turns.

    Turns make what else runs on the machine hit all of them alike; its least time is what a
    function needs when nothing disturbs it.
    """
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(rounds):
        for name, function in functions.items():
            with clock() as took:
                function()
            best[name] = min(best[name], took.cpu)
    return best


def peak_tensor_bytes(function: Callable[[], object]) -> int:
    """Most bytes of tensors that lived at once in the calling thread, beyond those before.

    From the allocations and releases that the profiler of torch records on the processor.
    """
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = function()
    now = peak = 0
    events = profiler.profiler.kineto_results.events()
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    del kept
    return peak
