"""The stage: composes the planned edits, judges them, keeps as many as are wanted."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from data_contracts import RECOMBINED_SAMPLES
from heml.compute.checkpoints import checkpoint_identity
from heml.compute.cluster_map import cluster, cluster_map
from heml.compute.processes import Job, process_count
from heml.compute.threads import worker_pool
from heml.compute.throttled_progress import ThrottledProgress
from heml.images.images_table import image_index
from heml.metrics.metric_settings import MetricSettings
from heml.recombination.attribution.roles import Roles
from heml.recombination.compositing.compose import Edit, compose_batch, compute_device
from heml.recombination.compositing.inpaint import Inpainter, find_checkpoint
from heml.recombination.compositing.inpaint_settings import InpaintSettings
from heml.recombination.gate import Resegment
from heml.recombination.imaging.image_reader import SegmentedImageReader
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.judging.calibration import Calibration
from heml.recombination.judging.judge import MeasuredLimits, Verdict, fit_gates
from heml.recombination.origins import Generator, origin_columns
from heml.recombination.plan.plan_stage import planned_roles
from heml.recombination.rebalance_settings import RebalanceSettings
from heml.recombination.refusals import IDENTITY_EDIT
from heml.segmentation.masks import encode
from heml.storage.atomic_write import write_aside
from heml.storage.code_version import code_fingerprint
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.sharded_parquet import ShardWriter
from heml.storage.stage import Outcome, run_stage
from heml.tree.metric_tree import MetricTree

VERSION = 17
BATCH = 32
#: Fewer samples than this are made before further processes have started.
WORTH_PROCESSES = 400

#: What an edit counts against: the wanted samples, or the wanted controls, of its group.
Slot = tuple[str, tuple[str, ...]]
#: Gives the job of making edits, by their places in the plan, in another process.
Elsewhere = Callable[[MeasuredLimits], Job[Sequence[int], list[dict[str, Any]]]]


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
    drawing = []
    if inpaint is not None:
        found = find_checkpoint(inpaint.checkpoint, recipe_folder)
        drawing = [inpaint.model_dump(exclude={"checkpoint"}), checkpoint_identity(found)]
    key = fingerprint(
        VERSION,
        store.fingerprint("rebalance_plan"),
        store.fingerprint("metric_tree"),
        rebalance.model_dump(),
        metric.neighbors,
        *drawing,
    )

    def recombiner(pool: ThreadPoolExecutor, limits: MeasuredLimits | None = None) -> Recombiner:
        painter = None if inpaint is None else Inpainter(inpaint, run.taxonomy, recipe_folder)
        tree = MetricTree.load(store.metric_tree, run.taxonomy)
        index = image_index(store, list(run.attributes))
        roles = planned_roles(store)
        reader = SegmentedImageReader(store)
        resegment = find_segmenter()
        calibration = Calibration(run, tree, roles, index, resegment is not None)
        gates = fit_gates(calibration, reader, resegment, limits)
        return Recombiner(run, roles, gates, reader, pool, painter)

    def elsewhere(limits: MeasuredLimits) -> Job[Sequence[int], list[dict[str, Any]]]:
        def make() -> Callable[[Sequence[int]], list[dict[str, Any]]]:
            if cluster():
                store.pull()
            return recombiner(ThreadPoolExecutor(1), limits).attempt

        return Job(f"{key} {store.root}", make)

    def compute() -> tuple[dict[str, Any], list[Path]]:
        groups = pd.read_parquet(store.planned_groups)
        wanted = int(groups[["n_balancing", "n_within_group"]].to_numpy().sum())
        processes = 1 if inpaint is not None else _processes(wanted)
        with write_aside(store.recombined_samples) as folder, worker_pool() as pool:
            worker = recombiner(pool)
            spreading = elsewhere if cluster() or processes > 1 else None
            summary = worker.write(folder, groups, spreading, processes)
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


class Judge(Protocol):
    """What decides on samples: `Gates`."""

    @property
    def limits(self) -> MeasuredLimits: ...

    def calibrate(self, moved: Iterable[Sequence[str]]) -> None: ...

    def judge(
        self,
        samples: Sequence[Recombined],
        hosts: Sequence[SegmentedImage],
        donors: Sequence[SegmentedImage],
        edits: Sequence[Mapping[str, Any]],
    ) -> list[Verdict]: ...

    def describe(self) -> dict[str, Any]: ...


class Recombiner:
    """Makes and judges the planned edits, a batch at a time."""

    def __init__(
        self,
        run: RunContext,
        roles: Roles,
        gates: Judge,
        reader: SegmentedImageReader,
        pool: ThreadPoolExecutor,
        painter: Inpainter | None = None,
    ) -> None:
        self._painter = painter
        self._pool = pool
        self._run = run
        self._roles = roles
        self._gates = gates
        self._reader = reader
        # As Arrow has it: a row takes a tenth of what it takes as objects.
        self._plan = pq.read_table(run.store.rebalance_plan)

    def write(
        self,
        folder: Path,
        groups: pd.DataFrame,
        elsewhere: Elsewhere | None = None,
        processes: int = 1,
    ) -> dict[str, Any]:
        """Tries planned edits until no group lacks any.

        Parameters
        ----------
        folder : pathlib.Path
            Of the table; it is made here.
        groups : DataFrame
            The `planned_groups` table.
        elsewhere : callable, optional
            Gives the job of making `attempt` in other processes or machines, from what was
            measured of real images here. By default all is done in this process.
        processes : int
            Of this machine.

        Returns
        -------
        dict
            The stage's summary.
        """
        missing = Counter[Slot]()
        for group in groups.to_dict("records"):
            key = (group["label"], *group["attributes"])
            missing["fill", key] = int(group["n_balancing"])
            missing["within_group", key] = int(group["n_within_group"])
        wanted = sum(missing.values())
        slots = _slots(self._plan)
        own = [slot for slot in slots if slot[0] == "identity"]
        missing.update(own)
        accepted: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        tried, throttled = 0, ThrottledProgress(self._run.progress)
        with ShardWriter(folder, RECOMBINED_SAMPLES) as writer:
            for rows in self._attempts(slots, missing, elsewhere, processes):
                for row in rows:
                    slot = _slot(row)
                    if slot[0] == "identity":
                        # What its gates measured is kept; the sample is no new one.
                        row["reason"] = IDENTITY_EDIT
                        missing[slot] -= 1
                    else:
                        row["accepted"] = not row["reason"]
                        missing[slot] -= row["accepted"]
                        (accepted if row["accepted"] else refused)[
                            row["reason"] or row["operator"]
                        ] += 1
                    writer.write([row], len(row["image"]["bytes"]))
                tried += len(rows)
                throttled.tell(
                    f"recombined_samples: {accepted.total()}/{wanted} accepted, "
                    f"{refused.total()} refused"
                )
        return {
            "wanted": wanted,
            "tried": tried,
            "accepted": accepted.total(),
            "refused": refused.total(),
            "accepted_by_operator": dict(sorted(accepted.items())),
            "refused_by_reason": dict(sorted(refused.items())),
            "missing": wanted - accepted.total(),
            "identity_edits": len(own),
            "gates": self._gates.describe(),
            "images_per_second": throttled.rate(tried),
            "words": f"{accepted.total()} of {wanted} wanted samples accepted, "
            f"{refused.total()} refused",
        }

    def _attempts(
        self,
        slots: Sequence[Slot],
        missing: Counter[Slot],
        elsewhere: Elsewhere | None,
        processes: int,
    ) -> Iterator[list[dict[str, Any]]]:
        nodes = self._plan["nodes"]
        for places in _rounds(slots, missing):
            batches = [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
            # Once here, not once in every process; and the summary tells the limits.
            moved = (tuple(row) for batch in batches for row in nodes.take(batch).to_pylist())
            self._gates.calibrate(dict.fromkeys(moved))
            if elsewhere is None:
                yield from map(self.attempt, batches)
            else:
                yield from cluster_map(elsewhere(self._gates.limits), batches, processes)

    def attempt(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Makes and judges some edits, given by their places in the plan."""
        return self._try(self._plan.take(list(places)).to_pylist())

    def _edit(self, edit: dict[str, Any], host: SegmentedImage, donor: SegmentedImage) -> Edit:
        protected = [leaf for leaf in self._roles.label_nodes if leaf not in edit["nodes"]]
        recolored = list(edit["recolored_nodes"])
        return Edit(edit["operator"], host, donor, list(edit["nodes"]), protected, recolored)

    def _try(self, edits: list[dict[str, Any]]) -> list[dict[str, Any]]:
        ids = [edit["host_id"] for edit in edits] + [edit["donor_id"] for edit in edits]
        segmented_images = self._reader.read(ids)
        hosts, donors = segmented_images[: len(edits)], segmented_images[len(edits) :]
        asked = list(map(self._edit, edits, hosts, donors))
        samples = compose_batch(asked, self._run.taxonomy, pool=self._pool)
        if self._painter is not None:
            nodes = [list(edit["nodes"]) for edit in edits]
            samples = self._painter.redraw(samples, nodes, [edit["seed"] for edit in edits])
        verdicts = self._gates.judge(samples, hosts, donors, edits)
        generator = None if self._painter is None else self._painter.generator
        return list(self._pool.map(partial(_row, generator), edits, samples, verdicts))


def _slot(edit: Mapping[str, Any]) -> Slot:
    kind = edit["direction"] if edit["direction"] in ("within_group", "identity") else "fill"
    return kind, (edit["label"], *edit["attributes"])


def _slots(plan: pa.Table) -> list[Slot]:
    """The slot of each edit; equal ones are one object."""
    known: dict[Slot, Slot] = {}
    return [
        known.setdefault(slot, slot)
        for batch in plan.select(["direction", "label", "attributes"]).to_batches(
            max_chunksize=1000
        )
        for slot in map(_slot, batch.to_pylist())
    ]


def _rounds(slots: Sequence[Slot], missing: Counter[Slot]) -> Iterator[list[int]]:
    """Places of edits in the plan, in order: in every round as many as each group still lacks.

    None is made in vain, and those of a round can be made anywhere: what the gates refuse counts in
    the next round.

    Parameters
    ----------
    slots : sequence of Slot
        Of all edits.
    missing : Counter
        By slot; the caller takes off what it accepts.
    """
    left: Iterable[int] = range(len(slots))
    while left:
        pending: Counter[Slot] = Counter()
        chosen, later = [], []
        for place in left:
            slot = slots[place]
            if pending[slot] < missing[slot]:
                pending[slot] += 1
                chosen.append(place)
            elif missing[slot] > 0:
                later.append(place)
        left = later
        if chosen:
            yield chosen


def _row(
    generator: Generator | None, edit: dict[str, Any], sample: Recombined, verdict: Verdict
) -> dict[str, Any]:
    buffer = io.BytesIO()
    # A low level: one more takes twice the time for two hundredths of the size.
    Image.fromarray(sample.image).save(buffer, "PNG", compress_level=3)
    height, width = sample.size
    return {
        **edit,
        "attributes": list(edit["attributes"]),
        "nodes": list(edit["nodes"]),
        "recolored_nodes": list(edit["recolored_nodes"]),
        "accepted": False,
        "reason": verdict.reason,
        "refused_by": list(verdict.refused_by),
        **verdict.numbers,
        "image": {"bytes": buffer.getvalue(), "path": f"{edit['edit_id']}.png"},
        "masks": [
            {"class_name": name, "rle": encode(mask)} for name, mask in sorted(sample.masks.items())
        ],
        **origin_columns(sample, generator),
        "code_fingerprint": code_fingerprint(),
        "width": width,
        "height": height,
    }
