"""One job per recipe, and how its steps run: one process each, forked from a warm server."""

from typing import TYPE_CHECKING

import dagster as dg

from pipelines.recipe import LoadedRecipe

if TYPE_CHECKING:
    # What define_asset_job gives; dagster does not export it.
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

#: Imported once by the fork server, so that a step starts in a fraction of a second.
#: Importing them must start no threads and touch no accelerator: forked children would inherit it.
PRELOADED = ["pipelines.definitions", "torch", "pandera.pandas", "sklearn"]

#: Within a run stages wait for each other; only steps that share the accelerator need a limit.
EXECUTOR = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 2,
        "start_method": {"forkserver": {"preload_modules": PRELOADED}},
        "retries": {"disabled": {}},
        "tag_concurrency_limits": [{"key": "gpu", "value": "exclusive", "limit": 1}],
    }
)


def recipe_job(recipe: LoadedRecipe) -> "UnresolvedAssetJobDefinition":
    """The job that brings everything of a recipe up to date: its name is the recipe's."""
    return dg.define_asset_job(
        recipe.name,
        selection=dg.AssetSelection.groups(recipe.name),
        description=f"All stages of {recipe.path.name}. What is unchanged is kept.",
        tags={"heml/recipe": recipe.name},
    )


def stored_job(name: str) -> dg.JobDefinition:
    """The job of a recipe as step processes load it again."""
    from pipelines.definitions import defs

    return defs.resolve_job_def(name)
