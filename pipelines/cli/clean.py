"""`python -m pipelines.cli.clean RECIPE.yaml`: makes room in a recipe's store."""

import argparse
import sys
from collections.abc import Sequence

from heml.storage.cleanup import removable, remove
from heml.storage.remote import StoreError
from heml.storage.store import open_store
from pipelines.recipe.model import RecipeError, load_recipe

HELP = """\
Removes from the stores of some recipes what killed processes left half-written, and artifacts of
metrics and segmenters that no stage uses now. What is in use stays, also while runs go on. Of a
store with a URL, this machine's copy is cleaned; the object store keeps what it has.
"""
UNUSABLE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Cleans stores; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.cli.clean", description=HELP)
    parser.add_argument("recipes", nargs="+", metavar="RECIPE.yaml")
    parser.add_argument(
        "--days",
        type=float,
        default=30,
        help="keep unused artifacts for so long: going back to earlier settings finds them "
        "(default 30)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    options = parser.parse_args(arguments)
    try:
        stores = [open_store(load_recipe(path).name) for path in options.recipes]
    except (RecipeError, StoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    total = 0
    for store in stores:
        for found in list(removable(store, options.days)):
            size = found.bytes()
            if options.dry_run:
                word = "would remove"
            elif remove(found):
                word = "removed"
            else:
                print(f"kept     {found.path}: a process is at its stage")
                continue
            total += size
            print(f"{word:8} {found.path} ({size / 1e6:.1f} MB): {found.why}")
    print(f"{total / 1e6:.1f} MB {'could be freed' if options.dry_run else 'freed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
