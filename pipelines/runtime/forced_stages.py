"""Stages that a run makes again although nothing changed: its tag `heml/force` names them."""

from collections.abc import Iterator, Set

import dagster as dg

from heml.storage.forced import UnknownStage, force, named_stages
from heml.storage.stage import at_stage
from heml.storage.store import Store
from heml.taxonomy import nearest
from pipelines.recipe.model import LoadedRecipe

#: Its value: names of stages with commas between them; `metric` stands for all nodes.
FORCE_TAG = "heml/force"
#: Of a run that goes on where another one failed.
_RESUMED = "dagster/is_resume_retry"


def drop_forced(context: dg.AssetExecutionContext, recipe: LoadedRecipe, store: Store) -> None:
    """Makes the forced stages of a step not finished, once for each run and those that resume it.

    Raises
    ------
    UnknownStage
        If the tag names what is no stage, or a stage that the run does not make.
    """
    words = context.run.tags.get(FORCE_TAG, "").split(",")
    forced = named_stages(words, recipe.stages)
    if not forced:
        return
    made = _stages(recipe, context.job_def.asset_layer.selected_asset_keys)
    if chosen := context.run.asset_selection:
        made = _stages(recipe, chosen)
    # A run that is executed again inherits the tag, and need not make all that its parent made.
    if (left := sorted(forced - made)) and context.run.parent_run_id is None:
        raise UnknownStage(f"force: this run does not make '{left[0]}'; {nearest(left[0], made)}")
    earlier = list(_resumed(context)) if context.run.tags.get(_RESUMED) else []
    for stage in sorted(forced & _stages(recipe, context.selected_asset_keys)):
        with at_stage(store, stage, context.log.info):
            if force(store, stage, context.run.run_id, earlier):
                context.log.info(f"{stage}: made again, as the run's tag {FORCE_TAG} asks")


def _stages(recipe: LoadedRecipe, keys: Set[dg.AssetKey]) -> set[str]:
    """Stages of a recipe's assets."""
    own = {"/".join(key.path[1:]) for key in keys if key.path[0] == recipe.name}
    return {"images" if stage == "quarantine" else stage for stage in own}


def _resumed(context: dg.AssetExecutionContext) -> Iterator[str]:
    """The runs that this one goes on from."""
    run: dg.DagsterRun | None = context.run
    while run is not None and run.parent_run_id is not None:
        yield run.parent_run_id
        run = context.instance.get_run_by_id(run.parent_run_id)
