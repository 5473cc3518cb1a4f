"""`rebalance_plan`: the edits to try, before a pixel changes."""

import dagster as dg

from data_contracts import REBALANCE_PLAN
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.stage_asset import stage_asset, stage_spec
from pipelines.recipe.model import LoadedRecipe


def rebalance_plan_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    def compute(run: RunContext) -> Outcome:
        from heml.recombination.plan.plan_stage import make_plan

        return make_plan(recipe.in_use(run), recipe.label, recipe.settings.rebalance)

    spec = stage_spec(
        recipe,
        store,
        "rebalance_plan",
        store.rebalance_plan,
        deps=["images", "segments", "bias_scores"],
        description="For every missing record of a group: host, donor, nodes, operator and seed. "
        "Hosts and donors come from the train split only.",
        kinds={"parquet"},
        contract=REBALANCE_PLAN,
    )
    return stage_asset(recipe, spec, compute)
