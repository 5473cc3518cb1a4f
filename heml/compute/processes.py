"""Work on shards in processes of this machine, one thread each, with the same results.

For work of many short steps: threads would wait for each other at every one, and two get hardly
more done than one.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from heml.compute.threads import processors

Shard = TypeVar("Shard")
Result = TypeVar("Result")

#: Each has its own libraries, tables and caches in memory, most of a gigabyte.
_MOST_PROCESSES = 8
#: Seconds after which processes without work end.
_IDLE = 10


class ProcessesError(RuntimeError):
    """Processes cannot be had, or one was lost; the message says what to do."""


@dataclass(frozen=True)
class Job(Generic[Shard, Result]):
    """What is done with each shard.

    Parameters
    ----------
    key : str
        Names what `make` gives: a worker process makes it once and keeps it.
    make : callable
        Gives the function that works on a shard: opened tables, loaded networks. Must be picklable;
        what it gives need not be. The function must be safe in several threads.
    prepare : callable, optional
        Brings what `make` reads to another machine. Called there alone, before `make`: a worker of
        a cluster knows from its job, not from an environment variable, that it is elsewhere. Must
        be picklable.
    """

    key: str
    make: Callable[[], Callable[[Shard], Result]]
    prepare: Callable[[], None] | None = None


def process_count() -> int:
    """Processes for work on this machine: `HEML_PROCESSES`, or one per processor up to eight.

    Raises
    ------
    ProcessesError
        If the variable is no whole number from 1 on.
    """
    asked = os.environ.get("HEML_PROCESSES")
    if not asked:
        return min(processors(), _MOST_PROCESSES)
    if not asked.isdecimal() or int(asked) < 1:
        raise ProcessesError(f"HEML_PROCESSES is '{asked}': a whole number from 1 on is expected")
    return int(asked)


#: Of this worker process: what was made last.
_made: dict[str, Callable[[Any], Any]] = {}


def work_on(job: Job[Shard, Result], shard: Shard, elsewhere: bool = False) -> Result:
    """Result of a shard in a worker process.

    Parameters
    ----------
    elsewhere : bool
        Whether the process may be on another machine than the one that gave the job.
    """
    if job.key not in _made:
        _made.clear()
        if elsewhere and job.prepare is not None:
            job.prepare()
        _made[job.key] = job.make()
        # As the threads of one process have it: results must not depend on where they are made.
        # Jobs without torch need not wait for it.
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)
    return _made[job.key](shard)


#: Whether this process has started any.
_started = threading.Event()
#: Seconds between looks at whether the process that asked is still there.
_LOOK = 2.0
_watching = threading.Event()


def _work_for(parent: int, job: Job[Shard, Result], shard: Shard) -> Result:
    """`work_on` in a process that does not outlive the one that asked, however that ends."""
    if not _watching.is_set():
        _watching.set()
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    return work_on(job, shard)


def _end_with(parent: int) -> None:
    # A process whose parent is gone is given another one.
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


def in_processes(job: Job[Shard, Result], shards: Iterable[Shard], count: int) -> Iterator[Result]:
    """Like `map`, in order, a few shards ahead.

    Parameters
    ----------
    job : Job
    shards : iterable
        Small and picklable: where the data is, not the data.
    count : int
        Number of processes. They are kept for the next call with the same key, until
        `release_processes` or for some seconds.

    Raises
    ------
    ProcessesError
        If a process was ended from outside.
    """
    from joblib import Parallel, delayed

    _started.set()
    parallel = Parallel(
        n_jobs=count,
        backend="loky",
        return_as="generator",
        batch_size=1,
        max_nbytes=None,
        idle_worker_timeout=_IDLE,
    )
    try:
        yield from parallel(delayed(_work_for)(os.getpid(), job, shard) for shard in shards)
    except BrokenProcessPool as error:
        raise ProcessesError(
            f"one of {count} processes was ended from outside, as a rule for lack of memory: "
            "set HEML_PROCESSES=1, or give more memory, and run again"
        ) from error


def release_processes() -> None:
    """Ends the processes that `in_processes` keeps: who exits would wait for them."""
    if not _started.is_set():
        return
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
    _started.clear()
