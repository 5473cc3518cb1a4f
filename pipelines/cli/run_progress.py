"""Following a run from the terminal: its events go to a display.

Steps are processes of their own; their messages go into Dagster's event log, which is read here.
"""

import logging
import threading
import time
from typing import Any

import dagster as dg

from pipelines.cli.displays import Display

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
#: A stage that is done sooner needs no line that it started.
PATIENCE_SECONDS = 1.5


class Watcher(threading.Thread):
    """Follows the run that carries a tag, from a thread beside the one that executes it.

    Parameters
    ----------
    tag : (str, str)
        Key and value that only this run has.
    display : Display
        Shows what happens.

    Attributes
    ----------
    reused : dict of str to bool
        Materialized stage → whether an earlier result was kept.
    interrupted : bool
        Whether somebody stopped the run.

    Notes
    -----
    An error while following is logged; it ends neither the run nor the following.
    """

    def __init__(
        self, instance: dg.DagsterInstance, tag: tuple[str, str], display: Display
    ) -> None:
        super().__init__(daemon=True)
        self.reused: dict[str, bool] = {}
        self.interrupted = False
        self.run_id: str | None = None
        self._instance = instance
        self._filter = dg.RunsFilter(tags=dict([tag]))
        self._display = display
        self._start = time.time()
        self._cursor: str | None = None
        self._starting: dict[str, float] = {}
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(POLL_SECONDS):
            self._follow()
        self._follow()

    def finish(self) -> None:
        """Shows what is left, and ends the thread."""
        self._done.set()
        self.join()

    def elapsed(self) -> float:
        return time.time() - self._start

    def _follow(self) -> None:
        try:
            self._read_events()
        except Exception:
            # The exit code must tell how the run went, not how it was watched.
            log.exception("cannot follow the run; it goes on")

    def _read_events(self) -> None:
        if self.run_id is None:
            records = self._instance.get_run_records(self._filter, limit=1)
            if not records:
                return
            self.run_id = records[0].dagster_run.run_id
        more = True
        while more:
            page = self._instance.get_records_for_run(self.run_id, cursor=self._cursor, limit=500)
            for record in page.records:
                self._show(record.event_log_entry)
            self._cursor, more = page.cursor, page.has_more
        for step, since in list(self._starting.items()):
            if time.time() - since > PATIENCE_SECONDS:
                self._display.started(since - self._start, stage_of(step))
                del self._starting[step]

    def _line(self, when: float, text: str) -> None:
        self._display.line(when - self._start, text)

    def _show(self, entry: dg.EventLogEntry) -> None:
        event, step = entry.dagster_event, entry.step_key or ""
        if event is None:
            if entry.user_message.startswith("Dependencies for step"):
                return  # Dagster's list of what a failure keeps from running.
            self._starting.pop(step, None)
            level = entry.level if isinstance(entry.level, int) else logging.INFO
            if level >= logging.WARNING:
                level_name = logging.getLevelName(level).lower()
                self._line(entry.timestamp, f"{level_name}: {entry.user_message}")
            elif level >= logging.INFO:
                since = entry.timestamp - self._start
                self._display.progress(since, stage_of(step), entry.user_message)
            return
        match event.event_type:
            case dg.DagsterEventType.STEP_START if "__check_" not in step:
                self._starting[step] = entry.timestamp
            case dg.DagsterEventType.STEP_SUCCESS:
                self._end(step)
            case dg.DagsterEventType.ASSET_MATERIALIZATION:
                self._note_reuse(event)
            case dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                self._show_check(entry.timestamp, event.asset_check_evaluation_data)
            case dg.DagsterEventType.STEP_FAILURE:
                self._end(step)
                self._show_failure(entry.timestamp, step, event.step_failure_data.error)
            case dg.DagsterEventType.ENGINE_EVENT if "termination signal" in entry.user_message:
                self.interrupted = True
                self._line(entry.timestamp, "stopping once the running stage has ended")

    def _note_reuse(self, event: dg.DagsterEvent) -> None:
        materialization = event.step_materialization_data.materialization
        reused = materialization.metadata.get("reused")
        stage = "/".join(materialization.asset_key.path[1:])
        self.reused[stage] = bool(reused and reused.value)
        self._display.materialized(stage)

    def _end(self, step: str) -> None:
        self._starting.pop(step, None)
        self._display.finished(stage_of(step))

    def _show_check(self, when: float, evaluation: Any) -> None:
        if not evaluation.passed:
            stage = "/".join(evaluation.asset_key.path[1:])
            what = f"{stage}: check {evaluation.check_name}: {evaluation.description or ''}"
            self._line(when, f"FAILED {what}")

    def _show_failure(self, when: float, step: str, error: Any) -> None:
        if self.interrupted:
            return
        kind, message = cause(error)
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
