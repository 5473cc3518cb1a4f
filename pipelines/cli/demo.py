"""`heml demo`: the embedded sample, in any folder."""

import shutil
from pathlib import Path

import typer

from pipelines.cli.execution import Plain, execute
from pipelines.cli.exit_codes import DONE, refusing

RECIPE = Path(__file__).parents[1] / "recipes" / "demo.yaml"


def demo(
    plain: Plain = False,
) -> None:
    """Run the whole chain on drawn portraits with a planted bias: nothing is downloaded.

    Writes the recipe to demo.yaml here (an existing one is used as it is), results to ./store.
    """
    recipe = Path("demo.yaml")
    if not recipe.exists():
        with refusing(OSError):
            shutil.copyfile(RECIPE, recipe)
        print(f"wrote {recipe}, the recipe of the demo; edit it and run `heml run {recipe}`")
    status = execute(recipe, plain=plain)
    if status != DONE:
        raise typer.Exit(status)
