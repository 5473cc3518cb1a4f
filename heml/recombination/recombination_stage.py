"""The stage: composes the planned edits, judges them, keeps as many as are wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from heml.compute.checkpoints import checkpoint_identity
from heml.compute.cluster_map import cluster
from heml.compute.processes import Job, process_count
from heml.compute.threads import worker_pool
from heml.images.closed_form import prepare_matting
from heml.images.images_table import ImageReader, image_index
from heml.metrics.metric_settings import MetricSettings
from heml.recombination.compositing.compose import compute_device
from heml.recombination.compositing.inpaint import Inpainter, find_checkpoint
from heml.recombination.compositing.inpaint_settings import InpaintSettings
from heml.recombination.gate import Resegment
from heml.recombination.imaging.image_reader import SegmentedImageReader
from heml.recombination.judging.calibration import Calibration
from heml.recombination.judging.judge import MeasuredLimits, fit_gates
from heml.recombination.plan.train_roles import planned_roles
from heml.recombination.rebalance_settings import RebalanceSettings
from heml.recombination.recombiner import Recombiner
from heml.recombination.samples_table import write_samples
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome, run_stage
from heml.tree.metric_tree import MetricTree

VERSION = 29
#: With fewer wanted samples than this, one process is done before others have started.
WORTH_PROCESSES = 400
#: Bytes of encoded hosts and donors that the critic keeps.
_CACHE = 64 << 20


def recombine(
    run: RunContext,
    rebalance: RebalanceSettings,
    metric: MetricSettings,
    inpaint: InpaintSettings | None = None,
    recipe_folder: Path | None = None,
    find_segmenter: Callable[[], Resegment | None] = lambda: None,
) -> Outcome:
    """Writes `store.recombined_samples`: every edit that was tried, accepted or not.

    Parameters
    ----------
    run : RunContext
        With the attributes in use; its store holds the plan, the segments and the metric tree.
    rebalance : RebalanceSettings
    metric : MetricSettings
    inpaint : InpaintSettings, optional
        Draws seams and holes anew.
    recipe_folder : pathlib.Path, optional
        Where a relative checkpoint path of `inpaint` starts.
    find_segmenter : callable, optional
        Gives what looks for moved segments again; asked only if something is computed.

    Raises
    ------
    CheckpointError
        If `inpaint` names no checkpoint that can inpaint; nothing is computed then.
    """
    store = run.store
    inpainting = []
    if inpaint is not None:
        found = find_checkpoint(inpaint.checkpoint, recipe_folder)
        inpainting = [inpaint.model_dump(exclude={"checkpoint"}), checkpoint_identity(found)]
    key = fingerprint(
        VERSION,
        store.fingerprint("rebalance_plan"),
        store.fingerprint("metric_tree"),
        rebalance.model_dump(),
        metric.neighbors,
        *inpainting,
    )

    def recombiner(pool: ThreadPoolExecutor, limits: MeasuredLimits | None = None) -> Recombiner:
        inpainter = None if inpaint is None else Inpainter(inpaint, run.taxonomy, recipe_folder)
        tree = MetricTree.load(store.metric_tree, run.taxonomy)
        index = image_index(store, list(run.attributes))
        roles = planned_roles(store)
        reader = SegmentedImageReader(store)
        resegment = find_segmenter()
        calibration = Calibration(run, tree, roles, index, resegment is not None)
        gates = fit_gates(calibration, reader, resegment, limits)
        values = index.set_index("image_id")[list(run.attributes)]
        return Recombiner(run, roles, gates, reader, pool, values, inpainter)

    def elsewhere(limits: MeasuredLimits) -> Job[Sequence[int], list[dict[str, Any]]]:
        def make() -> Callable[[Sequence[int]], list[dict[str, Any]]]:
            return recombiner(ThreadPoolExecutor(1), limits).attempt

        return Job(f"{key} {store.root}", make, store.pull)

    def compute() -> tuple[dict[str, Any], list[Path]]:
        groups = pd.read_parquet(store.planned_groups)
        wanted = int(groups[["n_balancing", "n_within_group"]].to_numpy().sum())
        prepare_matting("recombined_samples", run.progress)
        processes = 1 if inpaint is not None else _processes(wanted)
        with write_aside(store.recombined_samples) as folder, worker_pool() as pool:
            spread = elsewhere if cluster() or processes > 1 else None
            summary = write_samples(
                folder,
                recombiner(pool),
                groups,
                ImageReader(store, _CACHE),
                rebalance.seed,
                run.progress,
                spread,
                processes,
            )
        run.progress(f"recombined_samples: {summary['words']}")
        return summary, [store.recombined_samples]

    return run_stage(store, "recombined_samples", key, compute, run.progress)


def _processes(wanted: int) -> int:
    """How many processes make some samples on this machine."""
    if compute_device().type == "cuda":
        # Operators run on the accelerator, and processes would only share it.
        return 1
    asked = bool(os.environ.get("HEML_PROCESSES"))
    return process_count() if asked or wanted >= WORTH_PROCESSES else 1
