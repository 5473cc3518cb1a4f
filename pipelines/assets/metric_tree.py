"""`metric_tree`: calibrated thresholds and weights; the similarity of any two images."""

import dagster as dg

from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.stage_asset import stage_asset, stage_spec
from pipelines.recipe.model import LoadedRecipe


def metric_tree_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    def compute(run: RunContext) -> Outcome:
        from heml.tree.tree_stage import fit_tree

        return fit_tree(recipe.in_use(run), recipe.settings.metric)

    spec = stage_spec(
        recipe,
        store,
        "metric_tree",
        store.metric_tree,
        deps=[
            *(f"metric/{node}" for node in recipe.taxonomy.nodes),
            *([] if recipe.attributes else ["discovered_groups"]),
        ],
        description="Joins the node metrics into one similarity that can be read: a threshold and "
        "a weight per node, and the same fitted so that every group counts the same.",
        kinds={"python"},
    )
    return stage_asset(recipe, spec, compute)
