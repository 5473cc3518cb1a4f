"""Telling a person in the terminal how a run goes: one short line for each thing worth knowing.

Steps are processes of their own; what they say goes into Dagster's event log, which is read here.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import dagster as dg

POLL_SECONDS = 0.5
#: A stage that says something at once needs no line that it started.
PATIENCE_SECONDS = 1.5


class Watcher(threading.Thread):
    """Follows the run that carries a tag, from a thread beside the one that executes it.

    Parameters
    ----------
    tag : (str, str)
        Key and value that only this run has.
    say : callable
        Takes each line.

    Attributes
    ----------
    reused : dict of str to bool
        Materialized stage → whether an earlier result was kept.
    failures : list of (str, str)
        Class and message of what made steps fail.
    interrupted : bool
        Whether somebody stopped the run.
    """

    def __init__(
        self, instance: dg.DagsterInstance, tag: tuple[str, str], say: Callable[[str], None]
    ) -> None:
        super().__init__(daemon=True)
        self.reused: dict[str, bool] = {}
        self.failures: list[tuple[str, str]] = []
        self.interrupted = False
        self.run_id: str | None = None
        self._instance = instance
        self._filter = dg.RunsFilter(tags=dict([tag]))
        self._say = say
        self._start = time.time()
        self._cursor: str | None = None
        self._starting: dict[str, float] = {}
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(POLL_SECONDS):
            self._look()
        self._look()

    def finish(self) -> None:
        """Says what is left, and ends the thread."""
        self._done.set()
        self.join()

    def elapsed(self) -> float:
        return time.time() - self._start

    def _look(self) -> None:
        if self.run_id is None:
            records = self._instance.get_run_records(self._filter, limit=1)
            if not records:
                return
            self.run_id = records[0].dagster_run.run_id
        more = True
        while more:
            page = self._instance.get_records_for_run(self.run_id, cursor=self._cursor, limit=500)
            for record in page.records:
                self._tell(record.event_log_entry)
            self._cursor, more = page.cursor, page.has_more
        for step, since in list(self._starting.items()):
            if time.time() - since > PATIENCE_SECONDS:
                self._line(since, f"{stage_of(step)}: started")
                del self._starting[step]

    def _line(self, when: float, text: str) -> None:
        self._say(f"[{when - self._start:4.0f}s] {text}")

    def _tell(self, entry: dg.EventLogEntry) -> None:
        event, step = entry.dagster_event, entry.step_key or ""
        if event is None:
            if entry.user_message.startswith("Dependencies for step"):
                return  # Dagster's list of what a failure keeps from running.
            self._starting.pop(step, None)
            level = entry.level if isinstance(entry.level, int) else logging.INFO
            if level >= logging.INFO:
                mark = "" if level < logging.WARNING else f"{logging.getLevelName(level).lower()}: "
                self._line(entry.timestamp, mark + entry.user_message)
            return
        match event.event_type:
            case dg.DagsterEventType.STEP_START if "__check_" not in step:
                self._starting[step] = entry.timestamp
            case dg.DagsterEventType.STEP_SUCCESS:
                self._starting.pop(step, None)
            case dg.DagsterEventType.ASSET_MATERIALIZATION:
                self._note_reuse(event)
            case dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                self._tell_check(entry.timestamp, event.asset_check_evaluation_data)
            case dg.DagsterEventType.STEP_FAILURE:
                self._starting.pop(step, None)
                self._tell_failure(entry.timestamp, step, event.step_failure_data.error)
            case dg.DagsterEventType.ENGINE_EVENT if "termination signal" in entry.user_message:
                self.interrupted = True
                self._line(entry.timestamp, "stopping: the running stage ends first")

    def _note_reuse(self, event: dg.DagsterEvent) -> None:
        materialization = event.step_materialization_data.materialization
        reused = materialization.metadata.get("reused")
        stage = "/".join(materialization.asset_key.path[1:])
        self.reused[stage] = bool(reused and reused.value)

    def _tell_check(self, when: float, evaluation: Any) -> None:
        if not evaluation.passed:
            stage = "/".join(evaluation.asset_key.path[1:])
            what = f"{stage}: check {evaluation.check_name}: {evaluation.description or ''}"
            self._line(when, f"FAILED {what}")

    def _tell_failure(self, when: float, step: str, error: Any) -> None:
        if self.interrupted:
            return
        kind, message = cause(error)
        self.failures.append((kind, message))
        if kind != "DagsterAssetCheckFailedError":
            self._line(when, f"FAILED {stage_of(step)}: {message}")


def stage_of(step: str) -> str:
    """`demo__metric_level_0` → `metric level 0`; single stages keep their names."""
    stage = step.partition("__")[2] or step
    return stage.replace("_", " ") if stage.startswith("metric_level") else stage


def cause(error: Any) -> tuple[str, str]:
    """Class and one-line message of what went wrong in a stage, without Dagster's wrapping.

    Parameters
    ----------
    error : dagster SerializableErrorInfo or None
    """
    if error is None:
        return "", "unknown cause"
    if error.cls_name == "ChildProcessCrashException":
        return error.cls_name, "its process died; if memory ran out, use fewer or smaller images"
    wrapped = error.cls_name == "DagsterExecutionStepExecutionError" and error.cause is not None
    inner = error.cause if wrapped else error
    kind = inner.cls_name or ""
    name, _, rest = inner.message.strip().partition(": ")
    ours = name.startswith(("heml.", "pipelines.", "data_contracts."))
    # Our errors are sentences; others need their class to be understood.
    text = rest if ours and rest else f"{kind}: {rest}" if rest else name
    return kind, " ".join(text.split())
