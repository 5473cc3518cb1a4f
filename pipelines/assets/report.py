"""`report`: one HTML page of what was found and what was made."""

import dagster as dg

from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.stage_asset import stage_asset, stage_spec
from pipelines.recipe.model import LoadedRecipe


def report_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    def compute(run: RunContext) -> Outcome:
        from heml.report.report_stage import render_report

        run = recipe.in_use(run)
        return render_report(
            run, recipe.name, recipe.label, recipe.text, recipe.settings.effect.enabled
        )

    spec = stage_spec(
        recipe,
        store,
        "report",
        store.report,
        deps=[
            "metric_tree",
            "bias_scores",
            "rebalance_plan",
            "recombined_samples",
            "rebalanced_dataset",
            *(["debias_effect"] if recipe.settings.effect.enabled else []),
        ],
        description="Bias ranking with examples, the plan, accepted and refused samples, the "
        "effect: one HTML page without outside files.",
        kinds={"html"},
    )
    return stage_asset(recipe, spec, compute)
