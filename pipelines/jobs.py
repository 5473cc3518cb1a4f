"""The jobs of a recipe, and how their steps run: one process each, forked from a warm server."""

from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME

from pipelines.assets.rebalanced_dataset import DatasetConfig, dataset_op
from pipelines.assets.stage_asset import asset_key
from pipelines.recipe.model import LoadedRecipe
from pipelines.runtime.forced_stages import FORCE_TAG
from pipelines.runtime.fork_server import PRELOADED
from pipelines.runtime.ray_executor import ray_jobs, ray_steps

if TYPE_CHECKING:
    # What define_asset_job gives; dagster does not export it.
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

#: Tag of every run of a recipe, whichever job it is of.
RECIPE_TAG = "heml/recipe"

#: Within a run stages wait for each other; only steps that share the accelerator need a limit.
LOCAL_STEPS = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 2,
        "start_method": {"forkserver": {"preload_modules": PRELOADED}},
        # A step asks for another try itself, where a fault may pass.
        "retries": {"enabled": {}},
        "tag_concurrency_limits": [{"key": "gpu", "value": "exclusive", "limit": 1}],
    }
)


def executor() -> dg.ExecutorDefinition:
    """How steps run: processes of this machine, or jobs of a Ray cluster."""
    address = ray_jobs()
    return ray_steps(address) if address else LOCAL_STEPS


def recipe_job(recipe: LoadedRecipe) -> "UnresolvedAssetJobDefinition":
    """The job that brings everything of a recipe up to date: its name is the recipe's."""
    return dg.define_asset_job(
        recipe.name,
        selection=dg.AssetSelection.groups(recipe.name),
        description=f"All stages of {recipe.path.name}. What is unchanged is kept, but for stages "
        f"that the tag `{FORCE_TAG}` names, such as `segments, metric/hair`.",
        tags=_tags(recipe),
    )


def bias_only_job(recipe: LoadedRecipe) -> "UnresolvedAssetJobDefinition":
    """The job that stops at the bias scores: it tells, and changes no dataset."""
    scores = dg.AssetSelection.assets(asset_key(recipe, "bias_scores"))
    return dg.define_asset_job(
        f"{recipe.name}_bias_only",
        selection=scores.upstream() | dg.AssetSelection.assets(asset_key(recipe, "quarantine")),
        description=f"Everything of {recipe.path.name} up to the bias scores. What is unchanged "
        "is kept; no sample is made and no dataset is written.",
        tags=_tags(recipe),
    )


def rebalance_job(recipe: LoadedRecipe) -> "UnresolvedAssetJobDefinition":
    """The job that goes on from stored bias scores, whatever their check said."""
    plan = dg.AssetSelection.assets(asset_key(recipe, "rebalance_plan"))
    return dg.define_asset_job(
        f"{recipe.name}_rebalance",
        selection=plan.downstream(),
        description=f"Plan, samples, dataset, effect and report of {recipe.path.name} from the "
        "stored metrics and bias scores: nothing is read from the source and nothing is trained.",
        tags=_tags(recipe),
    )


def revoke_job(recipe: LoadedRecipe) -> "UnresolvedAssetJobDefinition":
    """The job that writes the dataset again without some images; they are named in its config."""
    return dg.define_asset_job(
        revoke_job_name(recipe),
        selection=dg.AssetSelection.assets(asset_key(recipe, "rebalanced_dataset")),
        description="Writes the dataset without the images that the config names, and without "
        "everything made of them; later runs leave them out too.",
        config=dg.RunConfig(ops={dataset_op(recipe): DatasetConfig(revoke=[])}).to_config_dict(),
        tags=_tags(recipe),
    )


def is_run_of(run: dg.DagsterRun, recipe: str) -> bool:
    """Whether a run works on a recipe's assets: one of its jobs, or assets picked in the UI."""
    if run.tags.get(RECIPE_TAG) == recipe:
        return True
    if run.asset_selection is None:
        # Dagster's own job of all assets.
        return run.job_name.startswith(IMPLICIT_ASSET_JOB_NAME)
    return any(key.path[0] == recipe for key in run.asset_selection)


def _tags(recipe: LoadedRecipe) -> dict[str, str]:
    return {RECIPE_TAG: recipe.name}


def revoke_job_name(recipe: LoadedRecipe) -> str:
    return f"{recipe.name}_revoke"


def stages_up_to(defs: dg.Definitions, name: str, stage: str) -> list[dg.AssetKey]:
    """Keys of a recipe's stage and of everything that it rests on.

    Parameters
    ----------
    name, stage : str
        The recipe's name, and a stage of its own.
    """
    specs = {spec.key: spec for spec in defs.resolve_all_asset_specs()}
    wanted: set[dg.AssetKey] = set()
    open_keys = [dg.AssetKey([name, stage])]
    while open_keys:
        key = open_keys.pop()
        if key not in wanted:
            wanted.add(key)
            open_keys += [dep.asset_key for dep in specs[key].deps]
    # What was refused is told with what was accepted.
    wanted.add(dg.AssetKey([name, "quarantine"]))
    return sorted(wanted)
