"""`dataset_card`: the dataset's documents, written again when the effect is known."""

import dagster as dg

from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.rebalanced_dataset import description_of
from pipelines.assets.stage_asset import stage_asset, stage_spec
from pipelines.recipe.model import LoadedRecipe


def dataset_card_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    measured = recipe.settings.effect.enabled

    def compute(run: RunContext) -> Outcome:
        from heml.dataset.documents import complete_documents

        run = recipe.in_use(run)
        return complete_documents(run, description_of(recipe), measured)

    spec = stage_spec(
        recipe,
        store,
        "dataset_card",
        store.rebalanced_dataset / "README.md",
        deps=["rebalanced_dataset", *(["debias_effect"] if measured else [])],
        description="Card, Croissant file and manifest of the dataset, with the measured effect. "
        "The Parquet files stay as they are.",
        kinds={"markdown", "json"},
    )
    return stage_asset(recipe, spec, compute)
