"""Which process drives a run, and the end of runs whose process was killed."""

import multiprocessing
import os
import socket
from collections.abc import Mapping

import dagster as dg

from heml.storage.process_liveness import process_lives
from pipelines.runtime.ray_executor import ray_jobs

_PID, _HOST = "heml/pid", "heml/host"


def process_tags() -> Mapping[str, str]:
    """Tags of a run that say which process drives it."""
    return {_PID: str(os.getpid()), _HOST: socket.gethostname()}


def name_the_process(context: dg.AssetExecutionContext) -> None:
    """Says in the run's tags which process drives it, if nothing says so yet.

    Called in steps: the run is the process that started this one, or this one itself.
    """
    if _PID not in context.run.tags and not ray_jobs():
        parent = multiprocessing.parent_process()
        pid = os.getpid() if parent is None else parent.pid
        tags = {_PID: str(pid), _HOST: socket.gethostname()}
        context.instance.add_run_tags(context.run_id, tags)


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
    dead = [record.dagster_run for record in instance.get_run_records(here)]
    dead = [run for run in dead if not process_lives(int(run.tags[_PID]))]
    for run in dead:
        instance.report_run_failed(run, "The process of this run is gone: it was killed.")
    return [run.run_id for run in dead]
