"""`heml run`: a whole recipe from the terminal, recorded by Dagster."""

import argparse
import os
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from heml.storage.remote import StoreError
from heml.storage.store import open_store, store_root
from pipelines.recipe.model import LoadedRecipe, RecipeError, load_recipe
from pipelines.runtime import fork_server
from pipelines.runtime.home import ensure_home
from pipelines.runtime.ray_executor import ray_jobs

HELP = """\
Brings everything of one recipe up to date: images, segments, metrics, bias scores, plan, samples,
rebalanced dataset, effect and report. What is unchanged since the last run is kept, and a run that
was stopped goes on where it was. Runs are seen in the UI too: make ui.
"""
EPILOG = """\
environment:
  HEML_STORE     folder or URL (s3://bucket/prefix) of the results (default ./store)
  HEML_CACHE     where results of a URL are worked on (default ~/.cache/heml)
  HEML_DATA      folder of the datasets that the recipes in pipelines/recipes/ read
  DAGSTER_HOME   where runs are recorded (default ./.dagster)

exit status: 0 done, 1 a stage failed, 2 the recipe or its data cannot be used, 130 interrupted
"""
FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130
#: What stages raise where no run can succeed before somebody changes recipe or data.
UNUSABLE_ERRORS = {"NothingDiscovered", "QuotaError", "SourceError", "TaxonomyError"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.cli.run",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", metavar="RECIPE.yaml", help="such as pipelines/recipes/demo.yaml")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="stop at the plan: tell what would be made, what each group would reach and what "
        "cannot be reached, without making an image",
    )
    options = parser.parse_args(arguments)
    path = options.recipe
    try:
        recipe = load_recipe(path)
        open_store(recipe.name)
    except (RecipeError, StoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    if recipe.data_is_missing:
        print(f"error: {recipe.path}: source.root: no such folder: {recipe.data}", file=sys.stderr)
        return UNUSABLE
    return _run(recipe, options.dry_run)


def _run(recipe: LoadedRecipe, dry_run: bool = False) -> int:
    # Step processes build their definitions from these.
    os.environ["HEML_RECIPE_FILES"] = str(recipe.path)
    os.environ["HEML_STORE"] = store_root()

    # Not in `logs`: what lies there Dagster's web server takes for telemetry and sends away, even
    # where telemetry is disabled.
    log = ensure_home() / "run_logs" / f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}.log"
    with _output_into(log) as terminal:
        if not ray_jobs():
            # Before this process imports as much: they do so side by side.
            fork_server.start()
        return _executed(recipe, dry_run, log, terminal)


def _executed(recipe: LoadedRecipe, dry_run: bool, log: Path, terminal: TextIO) -> int:
    import dagster as dg

    from pipelines.cli.plan_summary import plan_lines
    from pipelines.cli.run_progress import Watcher
    from pipelines.cli.run_summary import summary_lines
    from pipelines.definitions import defs
    from pipelines.jobs import stages_up_to
    from pipelines.runtime.run_processes import end_dead_runs, process_tags
    from pipelines.stored_job import stored_job

    invocation = ("heml/invocation", uuid.uuid4().hex)
    with dg.DagsterInstance.get() as instance:

        def say(line: str) -> None:
            print(line, file=terminal, flush=True)

        nodes = len(recipe.taxonomy.nodes)
        attributes = recipe.attributes or "to be discovered"
        say(f"{recipe.name}: {nodes} nodes, label {recipe.label}, attributes {attributes}")
        end_dead_runs(instance)
        watcher = Watcher(instance, invocation, say)
        watcher.start()
        success = False
        try:
            job = dg.build_reconstructable_job(
                stored_job.__module__, stored_job.__name__, (recipe.name,)
            )
            tags = {**process_tags(), invocation[0]: invocation[1]}
            chosen = stages_up_to(defs, recipe.name, "rebalance_plan") if dry_run else None
            success = dg.execute_job(job, instance, tags=tags, asset_selection=chosen).success
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            watcher.interrupted = True
        finally:
            watcher.finish()
        if watcher.interrupted:
            say("interrupted: what is finished is kept, run again to go on")
            return INTERRUPTED
        if not success:
            say(f"failed after {watcher.elapsed():.0f} s; the full log is {log}")
            unusable = any(kind in UNUSABLE_ERRORS for kind, _ in watcher.failures)
            return UNUSABLE if unusable else FAILED
        store = open_store(recipe.name)
        lines = plan_lines(store) if dry_run else summary_lines(recipe, store, watcher.reused)
        for line in lines:
            say(line)
        say(f"Done in {watcher.elapsed():.0f} s; make ui shows the run, {log} is its full log")
    return 0


@contextmanager
def _output_into(log: Path) -> Iterator[TextIO]:
    """Sends what this and every child process prints to a file; gives the terminal for our lines.

    By file descriptor: Dagster, libraries and step processes write to it without asking Python.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with log.open("w") as file, os.fdopen(os.dup(1), "w", encoding="utf-8") as terminal:
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


if __name__ == "__main__":
    sys.exit(main())
