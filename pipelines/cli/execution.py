"""Executing a recipe's job from the terminal: log, progress, exit code."""

import os
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from pipelines.cli.exit_codes import DONE, FAILED, INTERRUPTED, REFUSED, refuse, refusing

if TYPE_CHECKING:
    # What both ways to execute a job give; dagster does not export it.
    from dagster._core.execution.execution_result import ExecutionResult

    from pipelines.recipe.model import LoadedRecipe

#: What stages raise where no run can succeed before somebody changes recipe or data.
REFUSALS = {
    "FormError",
    "NothingDiscovered",
    "QuotaError",
    "SourceError",
    "TaxonomyError",
    "UnknownStage",
}


Plain = Annotated[bool, typer.Option("--plain", help="Print lines instead of a live display.")]


def execute(
    path: Path, dry_run: bool = False, plain: bool = False, force: Sequence[str] = ()
) -> int:
    """Runs a recipe's job.

    Parameters
    ----------
    path : pathlib.Path
        The recipe.
    dry_run : bool
        Stops at the plan and shows it.
    plain : bool
        Lines also on a terminal that could show a live display.
    force : sequence of str
        Stages to make again although nothing changed.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    typer.Exit
        If the recipe, its data or the store cannot be used.
    """
    from heml.storage.forced import UnknownStage, named_stages
    from heml.storage.remote import StoreError
    from heml.storage.store import open_store, store_root
    from pipelines.recipe.model import RecipeError, load_recipe
    from pipelines.runtime import fork_server
    from pipelines.runtime.home import ensure_home
    from pipelines.runtime.ray_executor import ray_jobs

    _write_missing_taxonomy(path)
    with refusing(RecipeError, StoreError, UnknownStage):
        recipe = load_recipe(path)
        open_store(recipe.name)
        forced = named_stages(force, recipe.stages)
    if recipe.data_is_missing:
        raise refuse(f"{recipe.path}: source.root: no such folder: {recipe.data}")
    # Step processes build their definitions from these.
    os.environ["HEML_RECIPE_FILES"] = str(recipe.path)
    os.environ["HEML_STORE"] = store_root()

    # Not in `logs`: what lies there Dagster's web server takes for telemetry and sends away, even
    # where telemetry is disabled.
    name = f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    log = ensure_home() / "run_logs" / name
    with _output_into(log) as terminal:
        if not ray_jobs():
            # Before this process imports as much: they do so side by side.
            fork_server.start()
        return _executed(recipe, dry_run, log, terminal, plain, forced)


def _write_missing_taxonomy(path: Path) -> None:
    """A recipe that says taxonomy: auto has a file beside it before anything runs."""
    from heml.compute.checkpoints import CheckpointError
    from heml.segmentation.trial import NothingToTry
    from heml.sources.raw import SourceError
    from heml.storage.remote import StoreError
    from heml.taxonomy import TaxonomyError
    from pipelines.cli.terminal import write_line
    from pipelines.recipe.auto_taxonomy import AUTO, write_auto_taxonomy
    from pipelines.recipe.model import RecipeError
    from pipelines.recipe.yaml_text import read_recipe_text

    with refusing(RecipeError):
        if read_recipe_text(path).content.get("taxonomy") != AUTO:
            return
    errors = (RecipeError, SourceError, StoreError, TaxonomyError, CheckpointError, NothingToTry)
    with refusing(*errors):
        write_auto_taxonomy(path, None, False, write_line)


def _executed(
    recipe: "LoadedRecipe",
    dry_run: bool,
    log: Path,
    terminal: TextIO,
    plain: bool,
    forced: set[str],
) -> int:
    import dagster as dg

    from heml.storage.store import open_store
    from pipelines.cli.displays import display_on
    from pipelines.cli.plan_summary import plan_lines
    from pipelines.cli.run_progress import Watcher
    from pipelines.cli.run_summary import summary_lines
    from pipelines.cli.terminal import write_line
    from pipelines.definitions import defs
    from pipelines.jobs import stages_up_to
    from pipelines.runtime.forced_stages import FORCE_TAG
    from pipelines.runtime.home import open_instance
    from pipelines.runtime.run_processes import end_dead_runs, process_tags
    from pipelines.stored_job import stored_job

    invocation = ("heml/invocation", uuid.uuid4().hex)
    with open_instance() as instance:
        nodes = len(recipe.taxonomy.nodes)
        attributes = ", ".join(recipe.attributes) or "to be discovered"
        write_line(
            f"{recipe.name}: {nodes} nodes, label {recipe.label}, attributes {attributes}", terminal
        )
        end_dead_runs(instance)
        chosen = stages_up_to(defs, recipe.name, "rebalance_plan") if dry_run else None
        total = len(chosen or defs.resolve_asset_graph().materializable_asset_keys)
        result: dg.JobExecutionResult | None = None
        with display_on(terminal, recipe.name, total, plain) as display:
            watcher = Watcher(instance, invocation, display)
            watcher.start()
            try:
                job = dg.build_reconstructable_job(
                    stored_job.__module__, stored_job.__name__, (recipe.name,)
                )
                tags = {**process_tags(), invocation[0]: invocation[1]}
                if forced:
                    tags[FORCE_TAG] = ", ".join(sorted(forced))
                result = dg.execute_job(job, instance, tags=tags, asset_selection=chosen)
            except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
                watcher.interrupted = True
            finally:
                watcher.finish()
        if watcher.interrupted:
            write_line("interrupted: finished stages are kept, run again to continue", terminal)
            return INTERRUPTED
        code = FAILED if result is None else exit_code(result)
        if code != DONE:
            write_line(f"failed after {watcher.elapsed():.0f} s; the full log is {log}", terminal)
            return code
        store = open_store(recipe.name)
        lines = plan_lines(store) if dry_run else summary_lines(recipe, store, watcher.reused)
        for line in lines:
            write_line(line, terminal)
        write_line(
            f"Done in {watcher.elapsed():.0f} s; `heml ui` shows the run, full log: {log}", terminal
        )
    return DONE


def exit_code(result: "ExecutionResult") -> int:
    """Exit code of a run: from its own events, whoever watched it."""
    from pipelines.cli.run_progress import cause

    if result.success:
        return DONE
    failures = result.filter_events(lambda event: event.is_step_failure)
    kinds = {cause(event.step_failure_data.error)[0] for event in failures}
    return REFUSED if kinds & REFUSALS else FAILED


@contextmanager
def _output_into(log: Path) -> Iterator[TextIO]:
    """Sends what this and every child process prints to a file; gives the terminal for our lines.

    By file descriptor: Dagster, libraries and step processes write to it without asking Python.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    encoding = sys.stdout.encoding or "utf-8"
    with (
        log.open("w", encoding="utf-8") as file,
        os.fdopen(os.dup(1), "w", encoding=encoding, errors="replace") as terminal,
    ):
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for target, descriptor in zip((1, 2), kept, strict=True):
                os.dup2(descriptor, target)
                os.close(descriptor)
