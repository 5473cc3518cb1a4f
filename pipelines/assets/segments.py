"""`segments`: mask, area, box and confidence of every semantic class in every image."""

from dataclasses import replace

import dagster as dg

from data_contracts import SEGMENTS
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.stage_asset import stage_asset, stage_spec
from pipelines.recipe.model import LoadedRecipe


def segments_asset(recipe: LoadedRecipe, store: Store) -> dg.AssetsDefinition:
    def compute(run: RunContext) -> Outcome:
        from heml.segmentation.segments_stage import segment

        # Masks are of the source's classes, which the run's taxonomy may have merged into leaves.
        of_source = replace(run, taxonomy=recipe.source_taxonomy)
        return segment(of_source, recipe.settings.segmentation, base=recipe.folder)

    spec = stage_spec(
        recipe,
        store,
        "segments",
        store.segments,
        deps=["images"],
        description="The pixels of each semantic class in each image, as COCO run-length masks, "
        "with the segmenter and its licence.",
        kinds={"parquet"},
        contract=SEGMENTS,
    )
    return stage_asset(recipe, spec, compute, exclusive=recipe.segmenter.exclusive)
