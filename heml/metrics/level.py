"""The stage that trains the nodes of one tree level.

A node has one network trained on the whole train split and one per cross-fitting fold. They are
small, so they train side by side, one thread each: that is faster than sharing threads inside each
operation, and makes results independent of the number of cores and of which other nodes train.
`benchmarks/level_training.py` compares it with one network of grouped convolutions and with stacked
parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from heml.metrics.identity import content_of, training_identity
from heml.metrics.level_update import LevelUpdate
from heml.metrics.lineage import last_lineage, stage_name
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.node_views import discard_views
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome, at_stage


class LevelError(ValueError):
    """A level cannot be trained on what the store holds; the message says what to do."""


def train_levels(run: RunContext, settings: MetricSettings) -> Iterator[tuple[str, Outcome]]:
    """Trains all nodes that are not finished, leaves first; see `train_level`."""
    levels = run.taxonomy.levels
    for number, nodes in enumerate(levels, start=1):
        later = [node for level in levels[number:] for node in level]
        yield from train_level(run, nodes, settings, later)


def train_level(
    run: RunContext,
    nodes: Sequence[str],
    settings: MetricSettings,
    later: Sequence[str] = (),
) -> Iterator[tuple[str, Outcome]]:
    """Trains the nodes of one level that are not finished, and yields each as it is.

    Parameters
    ----------
    run : RunContext
        Folds are stratified by label and the run's attributes.
    nodes : sequence of str
        Nodes of one level; their children must be trained.
    settings : MetricSettings
    later : sequence of str
        Nodes of higher levels that will be trained after these: all of them read the images at
        once. What is trained does not depend on it.

    Yields
    ------
    node, Outcome
        Finished nodes first. A node's artifacts are complete in the store when it is yielded. A
        node that cannot be trained is finished too: its summary's `state` says why.

    Raises
    ------
    LevelError
        If the segments are of other classes than the taxonomy's, or a child is untrained or was
        trained under other settings.
    TooFewLabels
        If no node could be trained: two label values with two train images each are needed.
    CheckpointError
        If the trunk's checkpoint cannot be used.
    """
    _refuse_other_classes(run)
    for node in nodes if settings.warm_start else ():
        _refuse_stale_children(run, node, settings)
    update = LevelUpdate(run, settings, later)
    with ExitStack() as stack:
        for node in sorted(nodes):
            stack.enter_context(at_stage(run.store, stage_name(node), run.progress))
        wanted = []
        for node in nodes:
            summary = update.finished(node)
            if summary is None:
                wanted.append(node)
            else:
                run.progress(f"metric/{node}: unchanged, not trained again")
                discard_views(run.store, node)
                yield node, Outcome(summary, reused=True)
        if wanted:
            yield from update.run(wanted)


def _refuse_other_classes(run: RunContext) -> None:
    presence = run.store.summary("segments")["presence"]
    found = sorted(name for name, share in presence.items() if share)
    if not set(found) & set(run.taxonomy.class_names):
        raise LevelError(
            f"{run.store.root}: no segment is of a class of the taxonomy '{run.taxonomy.name}'; "
            f"the store holds {', '.join(found[:10]) or 'no segments'}: use their taxonomy, or "
            "another store"
        )


def _refuse_stale_children(run: RunContext, node: str, settings: MetricSettings) -> None:
    for child in run.taxonomy.children(node):
        lineage = last_lineage(run.store, child)
        try:
            stale = lineage is None or (
                (lineage.training, lineage.applied_to)
                != (training_identity(run, child, settings), content_of(run.store))
            )
        except FileNotFoundError:
            stale = True
        if stale:
            raise LevelError(
                f"metric/{node} starts from metric/{child}, which is not trained under these "
                f"settings and this taxonomy: train metric/{child} first"
            )
