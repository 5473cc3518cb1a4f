"""Sensors: what starts a recipe's run when its source has changed."""

import json
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

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

#: Share of the time in which a source's pictures are asked whether they changed.
SHARE = 0.02
#: Seconds up to which that is done in every tick.
CHEAP = 1.0

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
    pictures), not the time: pictures are not opened. Where asking every picture takes long, it is
    done more seldom (`SHARE` of the time), and a tick looks at tables and folders alone. While a
    run of the recipe is going on nothing is looked at, and the change is seen once it has ended.
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
        seen = _Seen.read(context.cursor)
        end_dead_runs(context.instance)
        if run_id := _unfinished_run(context.instance, recipe):
            return dg.SkipReason(f"waiting for run {run_id[:8]} to end before the source is read")
        try:
            quick = source_state(recipe, quick=True)
            if quick == seen.quick and (wait := seen.next_look - time.time()) > 0:
                return dg.SkipReason(
                    f"tables and folders are unchanged; all pictures are asked in {wait:.0f} s"
                )
            start = time.time()
            state = source_state(recipe)
        except Exception as error:
            # A source that is away, or broken, is a reason to wait; a bug is not.
            if not isinstance(error, SourceError | OSError) and not passes(error):
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            return dg.SkipReason(f"the source cannot be read: {reason}")
        took = time.time() - start
        pause = took / SHARE if took > CHEAP else 0.0
        look: dict[str, Any] = {"quick": quick, "next_look": time.time() + pause}
        if state == seen.state:
            context.update_cursor(replace(seen, **look).written())
            return dg.SkipReason("the source is unchanged")
        # Numbered, because a run key is used once: a source may come back to an earlier state.
        seen = replace(seen, state=state, runs=seen.runs + 1, **look)
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=f"{state}-{seen.runs}")], cursor=seen.written()
        )

    return _source


def source_state(recipe: LoadedRecipe, quick: bool = False) -> str:
    """Fingerprint of what a recipe's source holds.

    Parameters
    ----------
    quick : bool
        Of its tables and folders alone: not every picture is asked.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    from heml.sources.layout import open_source

    reader = open_source(recipe.source, recipe.folder)
    if quick:
        return fingerprint(reader.quick_state())
    # Or a folder that is away for a moment would look like an empty one.
    reader.check(recipe.segmenter.needs_masks)
    return fingerprint(reader.state())


@dataclass(frozen=True)
class _Seen:
    """What the sensor keeps between two ticks: its cursor.

    Parameters
    ----------
    state : str, optional
        At the last request.
    runs : int
        Requests so far.
    quick : str, optional
        Tables and folders at the last look at everything.
    next_look : float
        When everything is looked at again at the earliest, in seconds since the epoch.
    """

    state: str | None = None
    runs: int = 0
    quick: str | None = None
    next_look: float = 0.0

    @classmethod
    def read(cls, cursor: str | None) -> Self:
        """From a cursor, also of an earlier version."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def written(self) -> str:
        """As the cursor."""
        return json.dumps(asdict(self))


def _unfinished_run(instance: dg.DagsterInstance, recipe: LoadedRecipe) -> str | None:
    """A run on the recipe's assets that has not ended, runs of single assets included."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    return next((run.run_id for run in runs if is_run_of(run, recipe.name)), None)
