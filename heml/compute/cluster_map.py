"""Work on many shards: on this machine or on a Ray cluster, with the same results.

`HEML_RAY` chooses: empty or unset, this machine; otherwise the cluster's address as `ray.init`
takes it (`auto`, `ray://host:10001`, `local`). Results come in the order of the shards either way,
and a shard whose worker dies is done again by another.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from heml.compute.prefetch import map_ahead
from heml.compute.processes import Job, in_processes, work_on
from heml.compute.threads import worker_pool

Shard = TypeVar("Shard")
Result = TypeVar("Result")

#: Workers in use at a time on a cluster; they come and go with its size.
_MOST_TASKS = 256


class RayError(RuntimeError):
    """The cluster cannot be used; the message says why and what to do."""


def cluster() -> str | None:
    """Address of the Ray cluster that stages work on; None: this machine alone."""
    return os.environ.get("HEML_RAY") or None


def cluster_map(
    job: Job[Shard, Result], shards: Iterable[Shard], processes: int = 1
) -> Iterator[Result]:
    """Like `map`, in order, a few shards ahead.

    Parameters
    ----------
    job : Job
    shards : iterable
        Small and picklable: where the data is, not the data. With a cluster all are listed first.
    processes : int
        On this machine: with 1, threads of this process; otherwise processes of one thread each,
        for work that is not long steps outside of Python.

    Raises
    ------
    RayError
        If a cluster is asked for and there is none.
    ProcessesError
        If a process was ended from outside.
    """
    if address := cluster():
        yield from _on_ray(job, list(shards), address)
        return
    if processes > 1:
        yield from in_processes(job, shards, processes)
        return
    function = job.make()
    with worker_pool():
        yield from map_ahead(function, shards)


class _Task:
    """A job as Ray Data maps it."""

    def __init__(self, job: Job[Any, Any]) -> None:
        self._job = job

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            result = work_on(self._job, row["shard"].value, elsewhere=True)
        except Exception as error:
            # Handed on, to be raised as it is raised on one machine: Ray would wrap it.
            return {"number": row["number"], "failed": True, "result": _Opaque(error)}
        return {"number": row["number"], "failed": False, "result": _Opaque(result)}


@dataclass(frozen=True)
class _Opaque:
    """A value that Ray Data hands on as it is."""

    value: Any


def _on_ray(job: Job[Shard, Result], shards: list[Shard], address: str) -> Iterator[Result]:
    if not shards:
        return
    connect(address)
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    rows = [{"number": n, "shard": _Opaque(shard)} for n, shard in enumerate(shards)]
    blocks = min(len(rows), _MOST_TASKS)
    data = ray.data.from_items(rows, override_num_blocks=blocks).map(_Task(job))
    expected = 0
    for row in data.iter_rows():
        if row["failed"]:
            raise row["result"].value
        if row["number"] != expected:
            raise RayError(f"shard {row['number']} came where {expected} was due")
        expected += 1
        yield row["result"].value
    if expected != len(shards):
        raise RayError(f"{expected} of {len(shards)} shards came back")


def connect(address: str) -> None:
    """Connects this process to the cluster, once.

    Raises
    ------
    RayError
    """
    try:
        import ray
    except ImportError as error:
        raise RayError("HEML_RAY is set; run pip install 'heml[ray]'") from error
    if ray.is_initialized():
        return
    try:
        _refuse_silent(address)
        ray.init(
            address=None if address == "local" else address,
            ignore_reinit_error=True,
            log_to_driver=False,
            configure_logging=False,
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RayError(
            f"HEML_RAY: no cluster at '{address}': {reason}; start one, or unset HEML_RAY"
        ) from error


def _refuse_silent(address: str) -> None:
    """Raises OSError where nothing listens: Ray itself would try for many minutes."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), timeout=10).close()
