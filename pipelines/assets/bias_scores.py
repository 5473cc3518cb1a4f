"""`bias_scores`: which node carries which group, and is fooled by it."""

import dagster as dg

from data_contracts import BIAS_SCORES
from heml.progress import Progress
from heml.stage import Outcome
from heml.store import Store
from pipelines.assets.stage import stage_asset, stage_spec
from pipelines.recipe import LoadedRecipe


def bias_scores_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    def compute(progress: Progress) -> Outcome:
        from heml.bias.measure import measure_bias

        return measure_bias(
            store,
            recipe.taxonomy,
            recipe.label,
            recipe.groups_in(store),
            recipe.settings.metric,
            progress,
            recipe.settings.bias,
        )

    spec = stage_spec(
        recipe,
        "bias_scores",
        store.bias_scores,
        deps=["images", "metric_tree"],
        description="Per node and group attribute: how much the node tells the group within a "
        "label (leakage), how much worse it judges conflicting records (reliance), and one score "
        "in 0 to 1 that joins them. Out of fold, with 95% intervals. Beside it: coverage of all "
        "cells (`coverage.parquet`) and every measure of association (`bias_measures.parquet`).",
        kinds={"parquet"},
        contract=BIAS_SCORES,
    )
    return stage_asset(recipe, store, spec, compute)
