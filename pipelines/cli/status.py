"""`heml status`: which stages of a recipe are finished."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.exit_codes import refusing

if TYPE_CHECKING:
    from heml.storage.store import Store
    from pipelines.recipe.model import LoadedRecipe


def status(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file.")],
) -> None:
    """Show which stages are finished, running, damaged or still to run, and the last run."""
    from heml.storage.remote import StoreError
    from heml.storage.store import open_store
    from pipelines.cli.tables import text_table
    from pipelines.recipe.model import RecipeError, load_recipe

    with refusing(RecipeError, StoreError):
        loaded = load_recipe(recipe)
        store = open_store(loaded.name)
        store.pull()
    print(f"{loaded.name}: {store.remote.url if store.remote else store.root}")
    for line in text_table(["stage", "state", "finished", "result"], list(_rows(loaded, store))):
        print(line)
    for line in _last_run(loaded):
        print(line)


def _rows(recipe: "LoadedRecipe", store: "Store") -> Iterator[list[str]]:
    from datetime import datetime

    from heml.storage.locks import is_locked
    from heml.storage.manifest import manifest_path, read_manifest

    for stage in recipe.stages:
        when, result = "", ""
        try:
            manifest = read_manifest(store.root, stage)
            state = "damaged" if store.damaged(stage) else "finished"
            seconds = manifest_path(store.root, stage).stat().st_mtime
            when = datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
            result = str(manifest.summary.get("words", ""))
        except FileNotFoundError:
            state = "not run"
        except ValueError:
            state = "damaged"
        if is_locked(store.lock(stage)):
            state = "running"
        yield [stage, state, when, result]


def _last_run(recipe: "LoadedRecipe") -> Iterator[str]:
    import os

    from pipelines.runtime.home import open_instance

    home = Path(os.environ.get("DAGSTER_HOME") or ".dagster").expanduser()
    if not home.exists():
        yield f"No run is recorded in {home}: heml run {recipe.path}"
        return
    import dagster as dg

    from pipelines.jobs import RECIPE_TAG

    with open_instance() as instance:
        wanted = dg.RunsFilter(tags={RECIPE_TAG: recipe.name})
        records = instance.get_run_records(wanted, limit=1)
    for record in records:
        run = record.dagster_run
        started = record.create_timestamp.astimezone().strftime("%Y-%m-%d %H:%M")
        yield f"Last run {run.run_id[:8]} ({run.job_name}), {started}: {run.status.value.lower()}"
    if not records:
        yield f"No run of {recipe.name} is recorded in {home}"
