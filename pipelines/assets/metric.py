"""`metric/<node>`: one asset per tree node, one op per tree level.

Each asset depends on its children's, so the lineage graph in the UI is the metric tree. A level
trains together in one process, or on a Ray cluster each node in its own; a node is materialized as
soon as it is finished, and stays so if a later one fails.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from data_contracts import EMBEDDINGS
from heml.storage.store import Store
from pipelines.assets.stage_asset import (
    EXCLUSIVE,
    POOL,
    asset_key,
    running,
    stage_result,
    stage_spec,
)
from pipelines.recipe.model import LoadedRecipe
from pipelines.resources import StoreResource
from pipelines.runtime.ray_executor import ray_jobs


def metric_assets(recipe: LoadedRecipe, store: Store) -> list[dg.AssetsDefinition]:
    """One definition per level, leaves first; one per node where steps run on a Ray cluster."""
    levels = recipe.taxonomy.levels
    after = [[node for level in levels[n + 1 :] for node in level] for n in range(len(levels))]
    if ray_jobs():
        return [
            _step(recipe, store, f"metric_{node}", [node]) for nodes in levels for node in nodes
        ]
    return [
        _step(recipe, store, f"metric_level_{number}", nodes, after[number])
        for number, nodes in enumerate(levels)
    ]


def _step(
    recipe: LoadedRecipe, store: Store, name: str, nodes: list[str], later: Sequence[str] = ()
) -> dg.AssetsDefinition:
    """The step of some nodes; `later` are the nodes whose steps run on this machine after it."""

    @dg.multi_asset(
        name=f"{recipe.name}__{name}",
        specs=[_node_spec(recipe, store, node) for node in nodes],
        can_subset=True,
        op_tags=EXCLUSIVE,
        pool=POOL,
    )
    def _metric(
        context: dg.AssetExecutionContext, heml_store: StoreResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from heml.metrics.level import train_level
        from heml.metrics.lineage import LINEAGE

        chosen = [n for n in nodes if _key(recipe, n) in context.selected_asset_keys]
        with running(context, recipe, heml_store, exclusive=True) as run:
            # None: the run has all assets of its job.
            in_run = context.run.asset_selection
            next_ones = [n for n in later if in_run is None or _key(recipe, n) in in_run]
            for node, outcome in train_level(run, chosen, recipe.settings.metric, next_ones):
                # Fingerprints of weights and contents mean nothing to a reader.
                shown = {key: value for key, value in outcome.summary.items() if key != LINEAGE}
                told = replace(outcome, summary=shown)
                yield stage_result(context, recipe, run.store, f"metric/{node}", told)

    return _metric


def _key(recipe: LoadedRecipe, node: str) -> dg.AssetKey:
    return asset_key(recipe, f"metric/{node}")


def _node_spec(recipe: LoadedRecipe, store: Store, node: str) -> dg.AssetSpec:
    tree = recipe.taxonomy
    classes = ", ".join(tree.classes_of(node))
    combines = f" Combines {', '.join(tree.children(node))}." if tree.children(node) else ""
    return stage_spec(
        recipe,
        store,
        f"metric/{node}",
        store.node(node),
        deps=["segments", *(f"metric/{child}" for child in tree.children(node))],
        description=f"Metric of the {tree.kind(node)} **{node}**: how far two images are apart "
        f"there. Sees the classes {classes}.{combines}",
        kinds={"pytorch", "parquet"},
        contract=EMBEDDINGS,
        skippable=True,
    )
