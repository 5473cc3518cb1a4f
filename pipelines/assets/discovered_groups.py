"""`discovered_groups`: what serves as the attribute where the recipe names no column."""

import dagster as dg

from data_contracts import DISCOVERED_NODES
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.stage_asset import stage_asset, stage_spec
from pipelines.recipe.model import LoadedRecipe


def discovered_groups_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    def compute(run: RunContext) -> Outcome:
        from heml.bias.group_discovery import discover_groups

        return discover_groups(run, recipe.settings.metric, recipe.settings.bias)

    spec = stage_spec(
        recipe,
        store,
        "discovered_groups",
        store.discovered_nodes,
        deps=["images", "segments", *(f"metric/{node}" for node in recipe.taxonomy.nodes)],
        description="The recipe names no attribute, so attributes are found: which label a segment "
        "alone looks like, its color, or its presence. The segment that misleads the models of the "
        "label most, while the rest of the image knows better, gives the attribute of all later "
        "stages.",
        kinds={"parquet"},
        contract=DISCOVERED_NODES,
    )
    return stage_asset(recipe, spec, compute)
