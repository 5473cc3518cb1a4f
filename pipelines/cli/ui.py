"""`heml ui`: Dagster's UI over recipes."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.exit_codes import refuse


def ui(
    recipes: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RECIPE]...",
            help="Recipe files. Default: the folder $HEML_RECIPES, or the packaged recipes.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
) -> None:
    """Start Dagster's UI: assets, runs, checks, schedules and sensors. Stop it with Ctrl-C."""
    from heml.storage.store import store_root
    from pipelines.runtime.home import open_instance

    for recipe in recipes or ():
        if not recipe.is_file():
            raise refuse(f"no such recipe: {recipe}")
    if recipes:
        os.environ["HEML_RECIPE_FILES"] = os.pathsep.join(str(r.absolute()) for r in recipes)
    os.environ["HEML_STORE"] = store_root()
    with open_instance():
        # Dagster's processes find databases that are made.
        pass
    print(f"http://{host}:{port}  (stop with Ctrl-C)", flush=True)
    # Dagster starts its own processes by the name of its command.
    scripts = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "dagster", "dev", "-m", "pipelines.definitions"]
    os.execv(sys.executable, [*command, "--host", host, "--port", str(port)])  # noqa: S606
