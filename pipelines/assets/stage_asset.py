"""The frame of every asset: call the stage, report its summary, columns, picture and fingerprint.

Assets keep nothing themselves: stages write into the store, so there are no IO managers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from data_contracts import Contract
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.metadata import column_schema, location, row_count, summary_metadata
from pipelines.assets.preview_images import picture
from pipelines.assets.stage_version import stage_version
from pipelines.recipe.model import LoadedRecipe
from pipelines.resources import StoreResource
from pipelines.runtime.forced_stages import drop_forced
from pipelines.runtime.orphans import end_with_the_run
from pipelines.runtime.recovery import accelerator_turn, recovering
from pipelines.runtime.run_processes import name_the_process

#: Steps with this tag never run beside each other in a run: they want the whole accelerator.
EXCLUSIVE: Mapping[str, str] = {"gpu": "exclusive"}
#: Dagster's pool of the same steps. It has no limit by itself: a lock of the machine keeps steps of
#: different runs apart, because a slot of a killed run would stay taken where no daemon runs.
POOL = "heml_accelerator"


def asset_key(recipe: LoadedRecipe, stage: str) -> dg.AssetKey:
    """Key of a stage's asset, `metric/<node>` being two parts of it."""
    return dg.AssetKey([recipe.name, *stage.split("/")])


def stage_spec(
    recipe: LoadedRecipe,
    store: Store,
    stage: str,
    path: Path,
    *,
    deps: Sequence[str],
    description: str,
    kinds: set[str],
    contract: Contract | None = None,
    skippable: bool = False,
) -> dg.AssetSpec:
    """What the UI says of a stage before it has run.

    Parameters
    ----------
    skippable : bool
        True where the step that makes it can be asked for some of its assets alone.
    """
    return dg.AssetSpec(
        asset_key(recipe, stage),
        deps=[asset_key(recipe, dep) for dep in deps],
        group_name=recipe.name,
        description=description,
        kinds=kinds,
        owners=recipe.settings.owners,
        code_version=stage_version(recipe, stage),
        metadata={**(column_schema(contract) if contract else {}), **location(store, path)},
        skippable=skippable,
    )


def stage_asset(
    recipe: LoadedRecipe,
    spec: dg.AssetSpec,
    compute: Callable[[RunContext], Outcome],
    *,
    exclusive: bool = False,
) -> dg.AssetsDefinition:
    """One asset for one stage.

    Parameters
    ----------
    compute : callable
        Runs the stage; imports what is heavy inside, because every step is a new process. The run
        has the recipe's attributes, or the discovered ones where there are any.
    exclusive : bool
        True for stages that train or compose on the accelerator.
    """
    stage = "/".join(spec.key.path[1:])

    @dg.multi_asset(
        name=f"{recipe.name}__{stage}",
        specs=[spec],
        op_tags=EXCLUSIVE if exclusive else None,
        pool=POOL if exclusive else None,
    )
    def _asset(
        context: dg.AssetExecutionContext, heml_store: StoreResource
    ) -> dg.MaterializeResult[Any]:
        with running(context, recipe, heml_store, exclusive) as run:
            return stage_result(context, recipe, run.store, stage, compute(run))

    return _asset


@contextmanager
def running(
    context: dg.AssetExecutionContext,
    recipe: LoadedRecipe,
    heml_store: StoreResource,
    exclusive: bool = False,
) -> Iterator[RunContext]:
    """What every stage runs in: the store as it is kept, transient errors tried again.

    Parameters
    ----------
    exclusive : bool
        Waits until no other step of this machine uses the accelerator.

    Yields
    ------
    RunContext
        Progress goes into the run's log, which the UI and the run command show.
    """
    end_with_the_run()
    name_the_process(context)
    progress = context.log.info
    with recovering(context), accelerator_turn(progress) if exclusive else nullcontext():
        store = heml_store.open(recipe.name)
        store.pull()
        drop_forced(context, recipe, store)
        try:
            yield recipe.run(store, progress)
        finally:
            from heml.compute.processes import release_processes

            release_processes()


def stage_result(
    context: dg.AssetExecutionContext,
    recipe: LoadedRecipe,
    store: Store,
    stage: str,
    outcome: Outcome,
    fingerprint_of: str | None = None,
) -> dg.MaterializeResult[Any]:
    """A stage's outcome as Dagster keeps it.

    Parameters
    ----------
    fingerprint_of : str, optional
        Stage whose fingerprint is the data version, if not this one.
    """
    key, version = asset_key(recipe, stage), store.fingerprint(fingerprint_of or stage)
    shown = _drawn_before(context.instance, key, version) if outcome.reused else {}
    return dg.MaterializeResult(
        asset_key=key,
        metadata={
            "reused": outcome.reused,
            **row_count(store, stage),
            **summary_metadata(outcome.summary),
            **(shown or picture(stage, store, recipe, context.log)),
        },
        data_version=dg.DataVersion(version),
    )


def _drawn_before(
    instance: dg.DagsterInstance, key: dg.AssetKey, version: str
) -> dict[str, dg.MetadataValue[Any]]:
    """The picture of the last materialization, if it shows the same result and still is one."""
    event = instance.get_latest_materialization_event(key)
    last = event.asset_materialization if event else None
    if last is None or (last.tags or {}).get(DATA_VERSION_TAG) != version:
        return {}
    value = last.metadata.get("picture")
    # Revoking takes pictures out of the log.
    return {"picture": value} if value and "data:image/" in str(value.value) else {}
