"""Code versions of stages: what Dagster compares to show an edited recipe as stale.

A version covers the package and what the stage reads of the recipe. What lies upstream is covered
by the upstream assets' versions. Staleness only shows: whether a stage is computed again is decided
by its fingerprint, which covers inputs and outputs too.
"""

from collections.abc import Mapping
from typing import Any

import heml
from heml.storage.fingerprint import fingerprint
from pipelines.recipe.model import LoadedRecipe

#: Stage → recipe keys that it reads. Nodes of the metric tree are `metric`.
READS: Mapping[str, tuple[str, ...]] = {
    "images": ("source",),
    "quarantine": ("source",),
    "segments": ("segmentation", "taxonomy"),
    "metric": ("metric", "taxonomy"),
    "discovered_groups": ("bias", "metric"),
    "metric_tree": ("metric", "taxonomy"),
    "bias_scores": ("bias", "metric"),
    "rebalance_plan": ("rebalance",),
    "recombined_samples": ("rebalance", "inpaint", "metric"),
    "rebalanced_dataset": ("dataset",),
    "debias_effect": ("effect",),
    "dataset_card": ("dataset", "effect"),
    "report": ("effect",),
}

#: Parts of a recipe that say where and when to run, which changes no result.
_WITHOUT_EFFECT = {
    "metric": ("device", "parallel"),
    "segmentation": ("device",),
    "effect": ("device",),
}


def stage_version(recipe: LoadedRecipe, stage: str) -> str:
    """Code version of a stage of a recipe.

    Parameters
    ----------
    stage : str
        A stage's name, `metric/<node>` for a node.
    """
    read: dict[str, Any] = {}
    for key in READS[stage.partition("/")[0]]:
        part = getattr(recipe.settings, key)
        content = part.model_dump(mode="json") if hasattr(part, "model_dump") else part
        if isinstance(content, dict):
            content = {k: v for k, v in content.items() if k not in _WITHOUT_EFFECT.get(key, ())}
        read[key] = content
    return fingerprint(heml.__version__, read)
