"""Cron lines of recipes as Dagster schedules. They start stopped: a person turns them on."""

from typing import TYPE_CHECKING

import dagster as dg

from pipelines.recipe.model import LoadedRecipe

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )


def recipe_schedule(
    recipe: LoadedRecipe, job: "UnresolvedAssetJobDefinition"
) -> dg.ScheduleDefinition | None:
    """Runs a recipe's whole job at its cron line; None if it has none."""
    if recipe.settings.schedule is None:
        return None
    return dg.ScheduleDefinition(
        name=f"{recipe.name}_schedule",
        job=job,
        cron_schedule=recipe.settings.schedule.cron,
        execution_timezone=recipe.settings.schedule.timezone,
        description=f"Brings everything of {recipe.path.name} up to date.",
    )
