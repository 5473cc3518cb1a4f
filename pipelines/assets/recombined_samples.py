"""`recombined_samples`: what the planned edits gave, accepted or refused by a gate."""

import dagster as dg

from data_contracts import RECOMBINED_SAMPLES
from heml.recombination.gate import GATES
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.stage_asset import stage_asset, stage_spec
from pipelines.recipe.model import LoadedRecipe


def recombined_samples_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    def compute(run: RunContext) -> Outcome:
        from heml.recombination.judging.resegment import find_segmenter
        from heml.recombination.recombination_stage import recombine

        return recombine(
            recipe.in_use(run),
            recipe.settings.rebalance,
            recipe.settings.metric,
            recipe.settings.inpaint,
            recipe.folder,
            lambda: find_segmenter(
                run.store, recipe.settings.segmentation, recipe.source_taxonomy, recipe.folder
            ),
        )

    spec = stage_spec(
        recipe,
        store,
        "recombined_samples",
        store.recombined_samples,
        deps=["rebalance_plan", "segments", "metric_tree"],
        description="New samples made of real segments. Refused ones are kept with the gate that "
        f"refused them.\n\nGates, in order: {', '.join(gate.name for gate in GATES)}.",
        kinds={"parquet", "image"},
        contract=RECOMBINED_SAMPLES,
    )
    return stage_asset(recipe, spec, compute, exclusive=True)
