"""`heml revoke`: images that must no longer be used."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.execution import execute
from pipelines.cli.exit_codes import DONE, FAILED, REFUSED, refuse, refusing

if TYPE_CHECKING:
    from pipelines.recipe.model import LoadedRecipe


def revoke(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file.")],
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Values of image_id.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A file with one id per line.")] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Run the whole recipe afterwards.")
    ] = False,
) -> None:
    """Write the dataset again without some images, and without everything made of them.

    Later runs leave them out too, by id and by content. What was trained on the images is not
    undone by this: metrics, scores and the choice of edits are computed again by the next run, at
    once with --retrain. Copies of the dataset elsewhere are out of reach.
    """
    from heml.storage.remote import StoreError
    from heml.storage.store import open_store
    from pipelines.recipe.model import RecipeError, load_recipe

    with refusing(RecipeError, StoreError, OSError, UnicodeDecodeError):
        loaded = load_recipe(recipe)
        open_store(loaded.name)
        named = [*(ids or []), *(_lines(file) if file else [])]
    if not named:
        raise refuse("no ids: name them after the recipe, or with --file")
    status = _revoke(loaded, named)
    if status == DONE and retrain:
        status = execute(recipe)
    if status != DONE:
        raise typer.Exit(status)


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]


def _revoke(recipe: "LoadedRecipe", ids: list[str]) -> int:

    from heml.dataset.revocation import RevokeError
    from heml.storage.remote import StoreError
    from heml.storage.store import open_store, store_root
    from pipelines.build import build_defs
    from pipelines.jobs import revoke_job_name
    from pipelines.runtime.home import open_instance
    from pipelines.runtime.revocation import revoke_everywhere
    from pipelines.runtime.run_processes import process_tags

    os.environ["HEML_RECIPE_FILES"] = str(recipe.path)
    os.environ["HEML_STORE"] = store_root()
    store = open_store(recipe.name)
    with open_instance() as instance:
        try:
            store.pull()
            gone = revoke_everywhere(instance, recipe.name, store, ids)
        except (RevokeError, StoreError, FileNotFoundError) as error:
            print(f"error: {error}", file=sys.stderr)
            return REFUSED
        print(f"{len(gone)} images revoked, {len(set(ids)) - len(gone)} had been already")
        if not store.recombined_samples.exists():
            print("There is no dataset yet: the next run leaves them out")
            return DONE
        defs = build_defs(recipe_files=[recipe.path], store_root=store_root())
        result = defs.resolve_job_def(revoke_job_name(recipe)).execute_in_process(
            instance=instance,
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            tags=process_tags(),
            raise_on_error=False,
        )
    if not result.success:
        print("error: the dataset was not written; `heml ui` shows why", file=sys.stderr)
        return FAILED
    summary = store.summary("rebalanced_dataset")
    print(
        f"Dataset  {store.rebalanced_dataset}: version {summary['version']}, {summary['rows']} "
        f"rows; {summary['descendants']} recombined images went with them"
    )
    print(
        "Metrics, scores and the choice of edits were made with these images: the next run of the "
        f"recipe computes them again (heml run {recipe.path})"
    )
    return DONE
