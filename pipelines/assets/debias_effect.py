"""`debias_effect`: accuracy on held-out real images, before and after."""

import dagster as dg

from data_contracts import DEBIAS_EFFECT
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.stage_asset import stage_asset, stage_spec
from pipelines.recipe.model import LoadedRecipe


def debias_effect_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    def compute(run: RunContext) -> Outcome:
        from heml.effect.effect_stage import measure_effect

        return measure_effect(recipe.in_use(run), recipe.label, recipe.settings.effect)

    spec = stage_spec(
        recipe,
        store,
        "debias_effect",
        store.debias_effect,
        deps=["rebalanced_dataset"],
        description="Worst-group and average accuracy of a small network on the test split, "
        "trained on the data as it is, with group-balanced sampling, and on the rebalanced data.",
        kinds={"parquet", "pytorch"},
        contract=DEBIAS_EFFECT,
    )
    return stage_asset(recipe, spec, compute, exclusive=True)
