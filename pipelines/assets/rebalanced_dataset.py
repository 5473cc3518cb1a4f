"""`rebalanced_dataset`: the folder that users of the dataset load."""

import dagster as dg

from data_contracts import REBALANCED_DATASET
from heml.progress import Progress
from heml.stage import Outcome
from heml.store import Store
from pipelines.assets.stage import stage_asset, stage_spec
from pipelines.recipe import LoadedRecipe


def rebalanced_dataset_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    def compute(progress: Progress) -> Outcome:
        import heml
        from heml.dataset.write import write_dataset
        from heml.store import fingerprint

        inputs = store.summary("images")["content"]
        return write_dataset(
            store,
            recipe.name,
            recipe.label,
            recipe.groups_in(store),
            recipe.licence,
            fingerprint(recipe.fingerprint, inputs, heml.__version__),
            progress,
        )

    spec = stage_spec(
        recipe,
        "rebalanced_dataset",
        store.rebalanced_dataset,
        deps=["images", "segments", "recombined_samples"],
        description=f'`datasets.load_dataset("{store.rebalanced_dataset}")`: real rows untouched, '
        "recombined train rows with host, donors, nodes, operator and gates. Validation and test "
        "rows pass through.",
        kinds={"parquet", "huggingface"},
        contract=REBALANCED_DATASET,
    )
    return stage_asset(recipe, store, spec, compute)
