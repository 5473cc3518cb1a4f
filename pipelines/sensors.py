"""Sensors: what starts a recipe's run when its source has changed."""

import json
from typing import TYPE_CHECKING

import dagster as dg

from heml.sources.raw import SourceError
from heml.storage.fingerprint import fingerprint
from pipelines.jobs import is_run_of
from pipelines.recipe.model import LoadedRecipe
from pipelines.runtime.run_processes import end_dead_runs
from pipelines.runtime.transient_errors import passes

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    name="heml_dead_runs",
    # It asks for no run; Dagster wants something that it could ask for.
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs as failed whose process was killed, so that nothing waits for them.",
)
def dead_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    ended = end_dead_runs(context.instance)
    return dg.SkipReason(
        f"ended: {', '.join(run_id[:8] for run_id in ended)}" if ended else "all runs are alive"
    )


def source_sensor(
    recipe: LoadedRecipe, job: "UnresolvedAssetJobDefinition"
) -> dg.SensorDefinition | None:
    """Runs a recipe's whole job when its source's state is another one; None if it is not watched.

    The state is what the source's files say of themselves (tables' content, sizes and times of
    pictures), not the time: pictures are not opened. While a run of the recipe is going on nothing
    is asked for, and the change is seen once it has ended.
    """
    watch = recipe.settings.watch
    if watch is None:
        return None

    @dg.sensor(
        name=f"{recipe.name}_source",
        job=job,
        minimum_interval_seconds=watch.every,
        # Who writes `watch` into the recipe has said that it shall run.
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Runs {recipe.name} when the source of {recipe.path.name} has changed.",
    )
    def _source(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        seen, runs = _read_cursor(context.cursor)
        try:
            state = source_state(recipe)
        except Exception as error:
            # A source that is away, or broken, is a reason to wait; a bug is not.
            if not isinstance(error, SourceError | OSError) and not passes(error):
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            return dg.SkipReason(f"the source cannot be read: {reason}")
        if state == seen:
            return dg.SkipReason("the source is unchanged")
        end_dead_runs(context.instance)
        if run_id := _unfinished_run(context.instance, recipe):
            return dg.SkipReason(f"the source has changed; waiting for run {run_id[:8]} to end")
        # Numbered, because a run key is used once: a source may come back to an earlier state.
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=f"{state}-{runs + 1}")],
            cursor=json.dumps({"state": state, "runs": runs + 1}),
        )

    return _source


def source_state(recipe: LoadedRecipe) -> str:
    """Fingerprint of what a recipe's source holds.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    from heml.sources.layout import open_source

    reader = open_source(recipe.source, recipe.folder)
    # Or a folder that is away for a moment would look like an empty one.
    reader.check(recipe.segmenter.needs_masks)
    return fingerprint(reader.state())


def _read_cursor(cursor: str | None) -> tuple[str | None, int]:
    """State at the last request, and how many there were."""
    if not cursor:
        return None, 0
    content = json.loads(cursor)
    return str(content["state"]), int(content["runs"])


def _unfinished_run(instance: dg.DagsterInstance, recipe: LoadedRecipe) -> str | None:
    """A run on the recipe's assets that has not ended, runs of single assets included."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    return next((run.run_id for run in runs if is_run_of(run, recipe.name)), None)
