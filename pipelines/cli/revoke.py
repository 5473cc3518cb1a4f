"""`python -m pipelines.cli.revoke RECIPE.yaml --ids ...`: images that must no longer be used."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from heml.storage.remote import StoreError
from heml.storage.store import open_store, store_root
from pipelines.recipe.model import LoadedRecipe, RecipeError, load_recipe

HELP = """\
Writes a recipe's dataset again without some images, and without every recombined image that has one
of them as host or donor. Later runs of the recipe leave them out too, by id and by content.
"""
EPILOG = """\
What was trained on the images is not undone by this: metrics, scores and the choice of edits are
made anew by the next run of the recipe, at once with --retrain. Until then the store's working
tables still hold them. Copies of the dataset elsewhere are out of reach.

exit status: 0 done, 1 failed, 2 nothing was revoked
"""
FAILED, UNUSABLE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Revokes images; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.cli.revoke",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", metavar="RECIPE.yaml")
    parser.add_argument("--ids", nargs="+", default=[], metavar="ID", help="values of image_id")
    parser.add_argument("--file", type=Path, help="a file with one id a line")
    parser.add_argument("--retrain", action="store_true", help="run the whole recipe afterwards")
    options = parser.parse_args(arguments)
    try:
        recipe = load_recipe(options.recipe)
        open_store(recipe.name)
        ids = [*options.ids, *(_lines(options.file) if options.file else [])]
    except (RecipeError, StoreError, OSError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    if not ids:
        print("error: no ids: name them with --ids or --file", file=sys.stderr)
        return UNUSABLE
    status = _revoke(recipe, ids)
    if status == 0 and options.retrain:
        from pipelines.cli import run

        return run.main([str(recipe.path)])
    return status


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]


def _revoke(recipe: LoadedRecipe, ids: list[str]) -> int:
    os.environ["HEML_RECIPE_FILES"] = str(recipe.path)
    os.environ["HEML_STORE"] = store_root()

    import dagster as dg

    from heml.dataset.revocation import RevokeError, revoke
    from pipelines.definitions import build_defs
    from pipelines.jobs import revoke_job_name
    from pipelines.runtime.home import ensure_home
    from pipelines.runtime.run_processes import process_tags

    store = open_store(recipe.name)
    try:
        store.pull()
        gone = revoke(store, ids)
    except (RevokeError, StoreError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    print(f"{len(gone)} images revoked, {len(set(ids)) - len(gone)} were before")
    if not store.recombined_samples.exists():
        print("There is no dataset yet: the next run leaves them out")
        return 0
    ensure_home()
    defs = build_defs(recipe_files=[recipe.path], store_root=store_root())
    with dg.DagsterInstance.get() as instance:
        result = defs.resolve_job_def(revoke_job_name(recipe)).execute_in_process(
            instance=instance,
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            tags=process_tags(),
            raise_on_error=False,
        )
    if not result.success:
        print("error: the dataset was not written; make ui shows why", file=sys.stderr)
        return FAILED
    # It may show them.
    store.withdraw("report", store.report)
    summary = store.summary("rebalanced_dataset")
    print(
        f"Dataset  {store.rebalanced_dataset}: version {summary['version']}, {summary['rows']} "
        f"rows; {summary['descendants']} recombined images went with them"
    )
    print(
        "Metrics, scores and the choice of edits were made with these images: the next run of the "
        f"recipe makes them anew (make run RECIPE={recipe.path})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
