"""How a run's progress is shown: a live display on a terminal, plain lines elsewhere."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipelines.cli.terminal import is_interactive, write_line

#: `images: 400/700 read`, `bias_scores: 12 of 30 nodes`.
_COUNT = re.compile(r"\b(\d+)\s?(?:/|of)\s?(\d+)\b")


class Display(Protocol):
    """What a watcher of a run calls."""

    def line(self, seconds: float, text: str) -> None:
        """Something worth keeping: `seconds` after the start."""

    def started(self, seconds: float, stage: str) -> None:
        """A stage has started and takes a while."""

    def progress(self, seconds: float, stage: str, text: str) -> None:
        """A stage says how far it is."""

    def finished(self, stage: str) -> None:
        """A stage has ended, well or not."""

    def materialized(self, asset: str) -> None:
        """One more asset is up to date."""


class PlainLines:
    """One line for everything: for logs, pipes and terminals that cannot redraw."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal

    def line(self, seconds: float, text: str) -> None:
        write_line(f"[{seconds:4.0f}s] {text}", self._terminal)

    def started(self, seconds: float, stage: str) -> None:
        self.line(seconds, f"{stage}: started")

    def progress(self, seconds: float, stage: str, text: str) -> None:
        self.line(seconds, text)

    def finished(self, stage: str) -> None:
        """Nothing to show: the stage's last line says it."""

    def materialized(self, asset: str) -> None:
        """Nothing to show: every stage has a line of its own."""


class LiveDisplay:
    """A bar for the run and one for every running stage; kept lines scroll above them.

    Parameters
    ----------
    progress : rich.progress.Progress
        Started by the caller.
    name : str
        Of the recipe.
    total : int
        Assets that the run brings up to date.
    """

    def __init__(self, progress: Progress, name: str, total: int) -> None:
        self._progress = progress
        self._run = progress.add_task(name, total=total, now="")
        self._stages: dict[str, TaskID] = {}

    def line(self, seconds: float, text: str) -> None:
        self._progress.console.print(f"[{seconds:4.0f}s] {text}", markup=False, highlight=False)

    def started(self, seconds: float, stage: str) -> None:
        if stage not in self._stages:
            self._stages[stage] = self._progress.add_task(f"  {stage}", total=None, now="")

    def progress(self, seconds: float, stage: str, text: str) -> None:
        self.started(seconds, stage)
        found = _COUNT.search(text)
        done, total = (int(found[1]), int(found[2])) if found else (None, None)
        # A stage may count several things after each other; what is over its total is no share.
        if total and done is not None and done <= total:
            self._progress.update(self._stages[stage], completed=done, total=total)
        words = text.partition(": ")[2] or text
        self._progress.update(self._stages[stage], now=words[:60])
        if not found:
            self.line(seconds, text)

    def finished(self, stage: str) -> None:
        if stage in self._stages:
            self._progress.remove_task(self._stages.pop(stage))

    def materialized(self, asset: str) -> None:
        self._progress.advance(self._run)


@contextmanager
def display_on(terminal: TextIO, name: str, total: int, plain: bool = False) -> Iterator[Display]:
    """The display that fits a terminal.

    Parameters
    ----------
    terminal : text file
        Where it is shown.
    name : str
        Of the recipe.
    total : int
        Assets that the run brings up to date.
    plain : bool
        Lines, whatever the terminal could show.
    """
    if plain or not is_interactive(terminal):
        yield PlainLines(terminal)
        return
    progress = Progress(
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[now]}", markup=False),
        # rich honors NO_COLOR, and draws in ASCII where the encoding has nothing else.
        console=Console(file=terminal),
        transient=True,
        # Step output must not be taken for ours.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with progress:
        yield LiveDisplay(progress, name, total)
