"""`rebalanced_dataset`: the folder that users of the dataset load, and its exports."""

from typing import Any

import dagster as dg
from pydantic import Field

from data_contracts import REBALANCED_DATASET
from heml.dataset.description import Description
from heml.storage.store import Store
from pipelines.assets.stage_asset import running, stage_result, stage_spec
from pipelines.recipe.model import LoadedRecipe
from pipelines.resources import StoreResource
from pipelines.runtime.revocation import revoke_everywhere


class DatasetConfig(dg.Config):
    """What a run may say beyond the recipe."""

    revoke: list[str] = Field(
        default_factory=list,
        description="Ids of input images to revoke before writing: they and what is made of them "
        "are left out, now and in every later run.",
    )


def rebalanced_dataset_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    spec = stage_spec(
        recipe,
        store,
        "rebalanced_dataset",
        store.rebalanced_dataset,
        deps=["images", "segments", "recombined_samples"],
        description=f'`datasets.load_dataset("{store.rebalanced_dataset}")`: real rows untouched, '
        "recombined train rows with host, donors, nodes, operator and gates. Validation and test "
        "rows pass through. Config `revoke`: ids of images that must go, with all that is made of "
        "them.",
        kinds={"parquet", "huggingface"},
        contract=REBALANCED_DATASET,
    )

    @dg.multi_asset(name=dataset_op(recipe), specs=[spec])
    def _dataset(
        context: dg.AssetExecutionContext, config: DatasetConfig, heml_store: StoreResource
    ) -> dg.MaterializeResult[Any]:
        import heml
        from heml.dataset.dataset_stage import write_dataset
        from heml.dataset.export import write_exports
        from heml.storage.fingerprint import fingerprint

        with running(context, recipe, heml_store) as run:
            if config.revoke:
                gone = revoke_everywhere(context.instance, recipe.name, run.store, config.revoke)
                run.progress(f"rebalanced_dataset: {len(gone)} images revoked")
            inputs = run.store.summary("images")["content"]
            run = recipe.in_use(run)
            outcome = write_dataset(
                run,
                description_of(recipe),
                fingerprint(recipe.fingerprint, inputs, heml.__version__),
                recipe.settings.dataset,
            )
            write_exports(run, recipe.settings.dataset.exports)
            return stage_result(context, recipe, run.store, "rebalanced_dataset", outcome)

    return _dataset


def description_of(recipe: LoadedRecipe) -> Description:
    """What the recipe says of its dataset."""
    # Not every kind of source has a column of the split.
    split = getattr(recipe.source, "split", None)
    return Description(recipe.name, recipe.label, recipe.licence, split)


def dataset_op(recipe: LoadedRecipe) -> str:
    """Name of the op: what a run's config calls it."""
    return f"{recipe.name}__rebalanced_dataset"
