"""`heml report`: opens a recipe's report."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.exit_codes import refuse, refusing


def report(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file.")],
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the path instead of opening a browser.")
    ] = False,
) -> None:
    """Open the report of a recipe's last run in the browser."""
    from heml.storage.remote import StoreError
    from heml.storage.store import open_store
    from pipelines.recipe.model import RecipeError, load_recipe

    with refusing(RecipeError, StoreError):
        store = open_store(load_recipe(recipe).name)
        store.pull()
    if not store.report.exists():
        raise refuse(f"no report yet: run `heml run {recipe}`")
    print(store.report)
    if not only_print and not webbrowser.open(store.report.absolute().as_uri()):
        print("no browser found; open the file above")
