"""Wall and processor time of a block, the peak of its tensors' bytes, the device's busy time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

_CPU = torch.device("cpu")


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


def peak_tensor_bytes(function: Callable[[], object], device: torch.device = _CPU) -> int:
    """Most bytes of tensors that lived at once, beyond those before.

    On the processor those of the calling thread, from the allocations and releases that torch's
    profiler records; on CUDA those of the device, as its allocator counts them.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device)) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = function()
    now = peak = 0
    events = profiler.profiler.kineto_results.events()
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    del kept
    return peak


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of spans (start, end): how long at least one of them went on."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return total


def busy_seconds(function: Callable[[], object], device: torch.device) -> float:
    """How long the device computes while a function runs.

    On CUDA at least one kernel or copy at a time, by torch's profiler; on the processor the
    processor time of all threads.
    """
    if device.type != "cuda":
        with clock() as took:
            function()
        return took.cpu
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        function()
        torch.cuda.synchronize(device)
    events = profiler.profiler.kineto_results.events()
    on_device = (e for e in events if e.device_type() == torch.autograd.DeviceType.CUDA)
    return covered((e.start_ns() / 1e9, e.end_ns() / 1e9) for e in on_device)
