"""`heml plan`: what a run would make, without making an image."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.execution import Plain, execute
from pipelines.cli.exit_codes import DONE


def plan(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file.")],
    plain: Plain = False,
) -> None:
    """Dry run: train what is needed for a plan, and show what each group would reach and why.

    No image is made and no dataset is written. What a plan rests on is kept for `heml run`.
    """
    status = execute(recipe, dry_run=True, plain=plain)
    if status != DONE:
        raise typer.Exit(status)
