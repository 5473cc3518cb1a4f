"""`images` and `quarantine`: the dataset's records, and every input that was refused."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from data_contracts import IMAGES, QUARANTINE
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.stage_asset import asset_key, running, stage_result, stage_spec
from pipelines.recipe.model import LoadedRecipe
from pipelines.resources import StoreResource


def images_assets(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    specs = [
        stage_spec(
            recipe,
            store,
            "images",
            store.images,
            deps=[],
            description=f"Image records with the label `{recipe.label}` and "
            + (
                "the attributes " + ", ".join(f"`{attribute}`" for attribute in recipe.attributes)
                if recipe.attributes
                else "no attribute: attributes are discovered"
            )
            + ".\n\n"
            "Every input row is accepted here, refused in `quarantine`, or excluded by its split.",
            kinds={"parquet", "image"},
            contract=IMAGES,
            skippable=True,
        ),
        stage_spec(
            recipe,
            store,
            "quarantine",
            store.quarantine,
            deps=[],
            description="Every input row that was refused, with the reason.",
            kinds={"parquet"},
            contract=QUARANTINE,
            skippable=True,
        ),
    ]

    @dg.multi_asset(name=f"{recipe.name}__images", specs=specs, can_subset=True)
    def _images(
        context: dg.AssetExecutionContext, heml_store: StoreResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from heml.recombination.plan.plan_stage import train_records
        from heml.sources.ingest import ingest

        with running(context, recipe, heml_store) as run:
            store = run.store
            outcome = ingest(
                store,
                recipe.source,
                recipe.folder,
                recipe.source_taxonomy,
                recipe.segmenter.needs_masks,
                run.progress,
            )
            if recipe.attributes:
                # Quotas of values that do not occur are refused before anything is trained.
                train_records(run, recipe.label, recipe.settings.rebalance)
        # One stage writes both tables, so the quarantine has no summary of its own.
        refused = Outcome(_quarantined(outcome.summary), outcome.reused)
        for stage, own in (("images", outcome), ("quarantine", refused)):
            if asset_key(recipe, stage) in context.selected_asset_keys:
                yield stage_result(context, recipe, store, stage, own, fingerprint_of="images")

    return _images


def _quarantined(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key in ("quarantined", "reasons")}
