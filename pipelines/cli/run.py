"""`heml run`: a whole recipe from the terminal, recorded by Dagster."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.execution import Plain, execute
from pipelines.cli.exit_codes import DONE


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Stop at the plan: the same as `heml plan`.")
    ] = False,
    force: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE",
            help="Make a stage again although nothing changed, such as segments, metric/hair, or "
            "metric for all nodes; may be given several times. `heml status` names the stages.",
        ),
    ] = None,
    plain: Plain = False,
) -> None:
    """Bring everything of a recipe up to date: images to rebalanced dataset, effect and report.

    What is unchanged since the last run is kept, and a run that was stopped goes on where it was.
    Runs are recorded by Dagster: `heml ui` shows them. What follows a stage that is made again with
    --force is kept where the result is the same.

    Environment variables: HEML_STORE is the folder or URL (s3://bucket/prefix) of the results,
    default ./store; HEML_CACHE is where results of a URL are worked on, default ~/.cache/heml;
    HEML_DATA is the folder of the datasets that the packaged recipes read; DAGSTER_HOME is where
    runs are recorded, default ./.dagster.
    """
    status = execute(recipe, dry_run=dry_run, plain=plain, force=force or [])
    if status != DONE:
        raise typer.Exit(status)
