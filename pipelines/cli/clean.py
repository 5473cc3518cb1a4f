"""`heml clean`: makes room in recipes' stores."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.exit_codes import refusing


def clean(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", help="Recipe files.")],
    days: Annotated[
        float,
        typer.Option(
            min=0,
            help="Keep unused artifacts this many days: a recipe that goes back to earlier "
            "settings finds them.",
        ),
    ] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
) -> None:
    """Remove what killed processes left half-written, and artifacts that no stage uses.

    What is in use stays, also while runs go on. For a store with a URL, this machine's copy is
    cleaned; the object store keeps what it has.
    """
    from heml.storage.cleanup import removable, remove
    from heml.storage.remote import StoreError
    from heml.storage.store import open_store
    from pipelines.recipe.model import RecipeError, load_recipe

    with refusing(RecipeError, StoreError):
        stores = [open_store(load_recipe(path).name) for path in recipes]
    total = 0
    for store in stores:
        for found in list(removable(store, days)):
            size = found.bytes()
            if dry_run:
                word = "would remove"
            elif remove(found):
                word = "removed"
            else:
                print(f"kept     {found.path}: a process is using this stage")
                continue
            total += size
            print(f"{word:8} {found.path} ({size / 1e6:.1f} MB): {found.why}")
    print(f"{total / 1e6:.1f} MB {'could be freed' if dry_run else 'freed'}")
