"""One module per stage: thin assets that call heml and return metadata.

Never `from __future__ import annotations` in here (Dagster reads annotations), and import torch
and what needs it inside functions (every step is a new process).
"""

import dagster as dg

from heml.storage.store import Store
from pipelines.assets.bias_scores import bias_scores_asset
from pipelines.assets.dataset_card import dataset_card_asset
from pipelines.assets.debias_effect import debias_effect_asset
from pipelines.assets.discovered_groups import discovered_groups_asset
from pipelines.assets.images import images_assets
from pipelines.assets.metric import metric_assets
from pipelines.assets.metric_tree import metric_tree_asset
from pipelines.assets.rebalance_plan import rebalance_plan_asset
from pipelines.assets.rebalanced_dataset import rebalanced_dataset_asset
from pipelines.assets.recombined_samples import recombined_samples_asset
from pipelines.assets.report import report_asset
from pipelines.assets.segments import segments_asset
from pipelines.recipe.model import LoadedRecipe


def recipe_assets(recipe: LoadedRecipe, store: Store) -> list[dg.AssetsDefinition]:
    """All assets of one recipe, upstream first."""
    effect = recipe.settings.effect.enabled
    return [
        images_assets(recipe, store),
        segments_asset(recipe, store),
        *metric_assets(recipe, store),
        *([] if recipe.attributes else [discovered_groups_asset(recipe, store)]),
        metric_tree_asset(recipe, store),
        bias_scores_asset(recipe, store),
        rebalance_plan_asset(recipe, store),
        recombined_samples_asset(recipe, store),
        rebalanced_dataset_asset(recipe, store),
        *([debias_effect_asset(recipe, store)] if effect else []),
        dataset_card_asset(recipe, store),
        report_asset(recipe, store),
    ]
