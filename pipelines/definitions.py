"""The code location: recipes in, Dagster definitions out. Nothing else belongs here."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from heml.storage.store import Store, open_store
from pipelines.assets import recipe_assets
from pipelines.checks.asset_checks import recipe_checks
from pipelines.jobs import bias_only_job, executor, rebalance_job, recipe_job, revoke_job
from pipelines.recipe.model import LoadedRecipe, load_recipe, load_recipes, refuse_same_names
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
        Recipes in it whose dataset folder is absent are left out.
        Default: `$HEML_RECIPES`, or the recipes that come with the project.
    recipe_files : sequence of paths, optional
        Exactly these files, instead of a folder. Default: `$HEML_RECIPE_FILES`, if set, and if
        no folder was given.
    store_root : path, optional
        Folder or URL. Default: `$HEML_STORE`, or `./store`.

    Raises
    ------
    RecipeError
    """
    if recipe_files is None and recipes_folder is None:
        recipe_files = [f for f in os.environ.get("HEML_RECIPE_FILES", "").split(os.pathsep) if f]
    if recipe_files:
        recipes = [load_recipe(path) for path in recipe_files]
        refuse_same_names(recipes)
    else:
        default = os.environ.get("HEML_RECIPES") or Path(__file__).parent / "recipes"
        recipes = [r for r in load_recipes(recipes_folder or default) if _has_data(r)]
    return dg.Definitions.merge(
        dg.Definitions(executor=executor(), sensors=[dead_runs_sensor] if recipes else []),
        *(_recipe_defs(recipe, open_store(recipe.name, store_root)) for recipe in recipes),
    )


def _recipe_defs(recipe: LoadedRecipe, store: Store) -> dg.Definitions:
    job = recipe_job(recipe)
    schedule = recipe_schedule(recipe, job)
    sensor = source_sensor(recipe, job)
    return dg.Definitions(
        assets=recipe_assets(recipe, store),
        asset_checks=recipe_checks(recipe, store),
        jobs=[job, bias_only_job(recipe), rebalance_job(recipe), revoke_job(recipe)],
        schedules=[schedule] if schedule else [],
        sensors=[sensor] if sensor else [],
    )


def _has_data(recipe: LoadedRecipe) -> bool:
    if recipe.data_is_missing:
        log.warning(
            "recipe %s left out: no folder %s (source.root in %s)",
            recipe.name,
            recipe.data,
            recipe.path.name,
        )
    return not recipe.data_is_missing


defs = build_defs()
