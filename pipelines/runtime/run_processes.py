"""Which process drives a run, and the end of runs whose process was killed."""

import multiprocessing
import os
import socket
from collections.abc import Mapping

import dagster as dg
import psutil

from pipelines.runtime.ray_executor import ray_jobs

#: Tags of a run: its driver's process, when that process started, its machine, and the run itself.
#: Numbers of processes come again, after a restart of the machine above all: with the time of its
#: start a process is known for certain. A re-executed run inherits its parent's tags.
_PID, _STARTED, _HOST, _RUN = "heml/pid", "heml/process_started", "heml/host", "heml/run"
#: Seconds by which the clock may have been set since.
_CLOCK = 5.0


def process_tags() -> Mapping[str, str]:
    """Tags of a new run that this process drives."""
    return _tags(os.getpid())


def name_the_process(context: dg.AssetExecutionContext) -> None:
    """Says in the run's tags which process drives it, if nothing says so yet.

    Called in steps: the run is the process that started this one, or this one itself.
    """
    run = context.run
    if _is_driven(run) or ray_jobs():
        return
    parent = multiprocessing.parent_process()
    tags = _tags(os.getpid() if parent is None else int(parent.pid or 0))
    context.instance.add_run_tags(run.run_id, {**tags, _RUN: run.run_id})


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Marks runs as failed whose process was killed: they would look running forever, and whoever
    waits for them would wait forever too.

    Returns
    -------
    list of str
        Their run ids.
    """
    unfinished = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    here = dg.RunsFilter(statuses=unfinished, tags={_HOST: socket.gethostname()})
    runs = [record.dagster_run for record in instance.get_run_records(here)]
    dead = [run for run in runs if _is_driven(run) and not _driver_lives(run)]
    for run in dead:
        instance.report_run_failed(run, "The process of this run is gone: it was killed.")
    return [run.run_id for run in dead]


def _tags(pid: int) -> dict[str, str]:
    started = psutil.Process(pid).create_time()
    return {_PID: str(pid), _STARTED: f"{started:.2f}", _HOST: socket.gethostname()}


def _is_driven(run: dg.DagsterRun) -> bool:
    """Whether the run's own tags say which process drives it."""
    own = run.parent_run_id is None or run.tags.get(_RUN) == run.run_id
    return own and _PID in run.tags and _STARTED in run.tags


def _driver_lives(run: dg.DagsterRun) -> bool:
    try:
        started = psutil.Process(int(run.tags[_PID])).create_time()
    except psutil.NoSuchProcess:
        return False
    return abs(started - float(run.tags[_STARTED])) < _CLOCK
