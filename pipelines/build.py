"""Recipes in, Dagster definitions out."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from heml.storage.store import Store, open_store
from heml.storage.store import store_root as root_of_stores
from pipelines.alerts import alert_sensors
from pipelines.assets import recipe_assets
from pipelines.checks.asset_checks import recipe_checks
from pipelines.jobs import bias_only_job, executor, rebalance_job, recipe_job, revoke_job
from pipelines.recipe.model import (
    InvalidRecipe,
    LoadedRecipe,
    load_recipe,
    load_recipes,
    refuse_same_names,
)
from pipelines.resources import StoreResource
from pipelines.schedules import recipe_schedule
from pipelines.sensors import dead_runs_sensor, source_sensor

log = logging.getLogger(__name__)


def build_defs(
    recipes_folder: str | Path | None = None,
    recipe_files: Sequence[str | Path] | None = None,
    store_root: str | Path | None = None,
) -> dg.Definitions:
    """Definitions of every recipe: assets, checks, jobs, schedule and sensor.

    Parameters
    ----------
    recipes_folder : path, optional
        Default: `$HEML_RECIPES`, or the recipes that come with the project. A file in it that
        cannot be used becomes an asset that fails with the reason; a dataset that is absent fails
        in `images`. Neither keeps other recipes from loading.
    recipe_files : sequence of paths, optional
        Exactly these files, instead of a folder; each must be valid. Default:
        `$HEML_RECIPE_FILES`, if set, and if no folder was given.
    store_root : path, optional
        Folder or URL. Default: `$HEML_STORE`, or `./store`.

    Raises
    ------
    RecipeError
    """
    if recipe_files is None and recipes_folder is None:
        recipe_files = [f for f in os.environ.get("HEML_RECIPE_FILES", "").split(os.pathsep) if f]
    invalid: list[InvalidRecipe] = []
    if recipe_files:
        recipes = [load_recipe(path) for path in recipe_files]
        refuse_same_names(recipes)
    else:
        default = os.environ.get("HEML_RECIPES") or Path(__file__).parent / "recipes"
        recipes, invalid = load_recipes(recipes_folder or default)
    return dg.Definitions.merge(
        dg.Definitions(
            executor=executor(),
            sensors=[dead_runs_sensor] if recipes else [],
            resources={"heml_store": StoreResource(root=root_of_stores(store_root))},
        ),
        *(_recipe_defs(recipe, open_store(recipe.name, store_root)) for recipe in recipes),
        *map(_invalid_defs, invalid),
    )


def _recipe_defs(recipe: LoadedRecipe, store: Store) -> dg.Definitions:
    job = recipe_job(recipe)
    schedule = recipe_schedule(recipe, job)
    sensor = source_sensor(recipe, job)
    return dg.Definitions(
        assets=recipe_assets(recipe, store),
        asset_checks=recipe_checks(recipe),
        jobs=[job, bias_only_job(recipe), rebalance_job(recipe), revoke_job(recipe)],
        schedules=[schedule] if schedule else [],
        sensors=[*([sensor] if sensor else []), *alert_sensors(recipe)],
    )


def _invalid_defs(invalid: InvalidRecipe) -> dg.Definitions:
    """An asset that shows, and fails with, what is wrong with a recipe file."""
    log.error("%s", invalid.problem)

    @dg.asset(
        key=["invalid_recipes", invalid.path.name.replace(".", "_")],
        group_name="invalid_recipes",
        description=f"This recipe cannot be used:\n\n```\n{invalid.problem}\n```\n\nMend the file "
        "and reload the definitions.",
    )
    def _invalid() -> None:
        raise dg.Failure(invalid.problem, allow_retries=False)

    return dg.Definitions(assets=[_invalid])
