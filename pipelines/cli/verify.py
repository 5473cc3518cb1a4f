"""`heml verify`: whether every file of a recipe's store is what its stage wrote."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.exit_codes import FAILED, refusing


def verify(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file.")],
) -> None:
    """Read every file of a recipe's finished stages, and compare it with what was written.

    Exit code 1 if a file is damaged or missing: the next run makes its stage again. Runs check
    files too, but read only those that the file system says have changed.
    """
    from heml.storage.manifest import DamagedManifest
    from heml.storage.remote import StoreError
    from heml.storage.store import open_store
    from pipelines.recipe.model import RecipeError, load_recipe

    with refusing(RecipeError, StoreError):
        loaded = load_recipe(recipe)
        store = open_store(loaded.name)
    stages = sorted(store.stages())
    damaged = 0
    for stage in stages:
        try:
            names = store.damaged(stage, reread=True)
        except DamagedManifest as error:
            print(f"{stage}: {error}")
            damaged += 1
            continue
        for name in names:
            state = "damaged" if (store.root / name).exists() else "missing"
            print(f"{stage}: {store.root / name} is {state}")
        damaged += bool(names)
    print(f"{loaded.name}: {len(stages)} finished stages, {damaged} damaged")
    if damaged:
        print(f"Run `heml run {recipe}` to make them again.")
        raise typer.Exit(FAILED)
