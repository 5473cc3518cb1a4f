"""`bias_scores`: which node encodes which attribute and relies on it."""

from dataclasses import replace

import dagster as dg

from data_contracts import BIAS_SCORES
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.stage_asset import stage_asset, stage_spec
from pipelines.recipe.model import LoadedRecipe


def bias_scores_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    def compute(run: RunContext) -> Outcome:
        from heml.bias.bias_stage import measure_bias

        settings = recipe.settings
        outcome = measure_bias(recipe.in_use(run), recipe.label, settings.metric, settings.bias)
        return replace(outcome, summary={**outcome.summary, **scores_over_time(run.store)})

    spec = stage_spec(
        recipe,
        store,
        "bias_scores",
        store.bias_scores,
        deps=["images", "metric_tree"],
        description="Per node and attribute: attribute AUC (how well the attribute can be "
        "predicted from the node within a label), accuracy gap between aligned and conflicting "
        "records, and one score in 0 to 1 that joins them. Out of fold, with 95% intervals. "
        "Beside it: coverage of all "
        "groups (`coverage.parquet`) and every measure of association (`bias_measures.parquet`).",
        kinds={"parquet"},
        contract=BIAS_SCORES,
    )
    return stage_asset(recipe, spec, compute)


def scores_over_time(store: Store) -> dict[str, object]:
    """What the UI shows of this and earlier measurements."""
    from heml.bias.history import read_history, score_changes, scores_over_measurements

    history = read_history(store)
    if not len(history):
        return {}
    now = history[history["measurement"] == history["measurement"].max()]
    # One number for each node and attribute: Dagster plots each over the runs.
    plotted: dict[str, object] = {
        f"score {row['node']} × {row['attribute']}": row["score"]
        for row in now.dropna(subset=["score"]).to_dict("records")
    }
    changes = score_changes(history)
    return {
        **plotted,
        "measurement": int(now["measurement"].iloc[0]),
        "largest_rise": float(changes["change"].max()) if len(changes) else None,
        "scores_over_measurements": scores_over_measurements(history),
    }
