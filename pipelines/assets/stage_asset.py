"""The frame of every asset: call the stage, report its summary, columns, picture and fingerprint.

Assets keep nothing themselves: stages write into the store, so there are no IO managers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg

from data_contracts import Contract
from heml.compute.progress import Progress
from heml.storage.stage import Outcome
from heml.storage.store import Store
from pipelines.assets.metadata import column_schema, location, summary_metadata
from pipelines.assets.preview_images import picture
from pipelines.recipe.model import LoadedRecipe
from pipelines.runtime.orphans import end_with_the_run
from pipelines.runtime.recovery import accelerator_turn, recovering
from pipelines.runtime.run_processes import name_the_process

#: Steps with this tag never run beside each other: they want the whole accelerator.
EXCLUSIVE: Mapping[str, str] = {"gpu": "exclusive"}


def asset_key(recipe: LoadedRecipe, stage: str) -> dg.AssetKey:
    """Key of a stage's asset, `metric/<node>` being two parts of it."""
    return dg.AssetKey([recipe.name, *stage.split("/")])


def stage_spec(
    recipe: LoadedRecipe,
    stage: str,
    path: Path,
    *,
    deps: Sequence[str],
    description: str,
    kinds: set[str],
    contract: Contract | None = None,
) -> dg.AssetSpec:
    """What the UI says of a stage before it has run."""
    return dg.AssetSpec(
        asset_key(recipe, stage),
        deps=[asset_key(recipe, dep) for dep in deps],
        group_name=recipe.name,
        description=description,
        kinds=kinds,
        metadata={**(column_schema(contract) if contract else {}), **location(path)},
    )


def stage_asset(
    recipe: LoadedRecipe,
    store: Store,
    spec: dg.AssetSpec,
    compute: Callable[[Progress], Outcome],
    *,
    exclusive: bool = False,
) -> dg.AssetsDefinition:
    """One asset for one stage.

    Parameters
    ----------
    compute : callable
        Runs the stage; imports what is heavy inside, because every step is a new process.
    exclusive : bool
        True for stages that train or compose on the accelerator.
    """
    stage = "/".join(spec.key.path[1:])

    @dg.multi_asset(
        name=f"{recipe.name}__{stage}", specs=[spec], op_tags=EXCLUSIVE if exclusive else None
    )
    def _asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        with running(context, store, exclusive) as progress:
            outcome = compute(progress)
            return stage_result(context, recipe, store, stage, outcome)

    return _asset


@contextmanager
def running(
    context: dg.AssetExecutionContext, store: Store, exclusive: bool = False
) -> Iterator[Progress]:
    """What every stage runs in: the store as it is kept, faults that pass tried again.

    Parameters
    ----------
    exclusive : bool
        Waits until no other step of this machine uses the accelerator.

    Yields
    ------
    Progress
        Into the run's log, which the UI and the run command show.
    """
    end_with_the_run()
    name_the_process(context)
    progress = context.log.info
    with recovering(context), accelerator_turn(progress) if exclusive else nullcontext():
        store.pull()
        yield progress


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
    return dg.MaterializeResult(
        asset_key=asset_key(recipe, stage),
        metadata={
            "reused": outcome.reused,
            **summary_metadata(outcome.summary),
            **picture(stage, store, recipe, context.log),
        },
        data_version=dg.DataVersion(store.fingerprint(fingerprint_of or stage)),
    )
