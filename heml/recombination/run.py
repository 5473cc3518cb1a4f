"""The stage: composes the planned edits, judges them, keeps as many as are wanted."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

from data_contracts import RECOMBINED_SAMPLES
from heml.images import image_index
from heml.pace import Pace
from heml.progress import Progress
from heml.recombination.calibration import Resegment
from heml.recombination.compose import Edit, compose_batch
from heml.recombination.fit_gates import fit_gates
from heml.recombination.gates import Verdict
from heml.recombination.inpaint import Inpainter, checkpoint_state, find_checkpoint
from heml.recombination.picture import Picture, Recombined
from heml.recombination.pictures import PictureReader
from heml.recombination.plan import planned_roles
from heml.recombination.roles import Roles
from heml.segmentation.masks import encode
from heml.settings import InpaintSettings, MetricSettings, RebalanceSettings
from heml.stage import Outcome, run_stage
from heml.store import Store, fingerprint, write_aside
from heml.taxonomy import Taxonomy
from heml.tree.tree import MetricTree
from heml.workers import worker_pool

VERSION = 9
BATCH = 32
#: Reason of samples whose donor is their host: controls of the operators, not for the dataset.
SELF = "self_recombination"


def recombine(
    store: Store,
    taxonomy: Taxonomy,
    groups: Sequence[str],
    rebalance: RebalanceSettings,
    metric: MetricSettings,
    progress: Progress,
    inpaint: InpaintSettings | None = None,
    recipe_folder: Path | None = None,
    find_segmenter: Callable[[], Resegment | None] = lambda: None,
) -> Outcome:
    """Writes `store.recombined_samples`: every edit that was tried, accepted or not.

    Parameters
    ----------
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
    drawing = []
    if inpaint is not None:
        found = find_checkpoint(inpaint.checkpoint, recipe_folder)
        drawing = [inpaint.model_dump(exclude={"checkpoint"}), checkpoint_state(found)]
    key = fingerprint(
        VERSION,
        store.fingerprint("rebalance_plan"),
        store.fingerprint("metric_tree"),
        rebalance.model_dump(),
        metric.neighbours,
        *drawing,
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        painter = None if inpaint is None else Inpainter(inpaint, taxonomy, recipe_folder)
        tree = MetricTree.load(store.metric_tree, taxonomy)
        index = image_index(store, list(groups))
        roles = planned_roles(store)
        gates = fit_gates(store, tree, roles, index, groups, find_segmenter())
        cells = pd.read_parquet(store.planned_cells)
        with write_aside(store.recombined_samples) as folder, worker_pool() as pool:
            worker = Recombiner(store, taxonomy, roles, gates, pool, painter)
            folder.mkdir(parents=True)
            summary = worker.write(folder / "part-00000.parquet", cells, progress)
        progress(f"recombined_samples: {summary['words']}")
        return summary, [store.recombined_samples]

    return run_stage(store, "recombined_samples", key, compute, progress)


class Judge(Protocol):
    """What decides on samples: `Gates`."""

    def judge(
        self,
        samples: Sequence[Recombined],
        hosts: Sequence[Picture],
        donors: Sequence[Picture],
        edits: Sequence[Mapping[str, Any]],
    ) -> list[Verdict]: ...

    def describe(self) -> dict[str, Any]: ...


class Recombiner:
    """Makes and judges the planned edits, a batch at a time."""

    def __init__(
        self,
        store: Store,
        taxonomy: Taxonomy,
        roles: Roles,
        gates: Judge,
        pool: ThreadPoolExecutor,
        painter: Inpainter | None = None,
    ) -> None:
        self._painter = painter
        self._pool = pool
        self._store = store
        self._taxonomy = taxonomy
        self._roles = roles
        self._gates = gates
        self._pictures = PictureReader(store)

    def write(self, path: Path, cells: pd.DataFrame, progress: Progress) -> dict[str, Any]:
        plan = pd.read_parquet(self._store.rebalance_plan)
        missing = Counter[tuple[str, str]]()
        for cell in cells.itertuples():
            key = "\x1f".join([cell.label, *cell.groups])  # type: ignore[list-item, misc]
            missing["fill", key] = int(cell.n_fill)  # type: ignore[arg-type]
            missing["control", key] = int(cell.n_control)  # type: ignore[arg-type]
        wanted = sum(missing.values())
        own = plan[plan["direction"] == "self"]
        missing.update(_slot(edit) for edit in own.to_dict("records"))
        accepted: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        tried, pace = 0, Pace(progress)
        schema = RECOMBINED_SAMPLES.schema()
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for edits in _batches(plan, missing):
                rows = self._try(edits)
                for row in rows:
                    slot = _slot(row)
                    if slot[0] == "self":
                        # What its gates measured is kept; the sample is no new one.
                        row["reason"] = SELF
                        continue
                    # A batch may hold more than its cell still lacks.
                    if not row["reason"] and missing[slot] == 0:
                        row["reason"] = "not_needed"
                    row["accepted"] = not row["reason"]
                    missing[slot] -= row["accepted"]
                    (accepted if row["accepted"] else refused)[
                        row["reason"] or row["operator"]
                    ] += 1
                writer.write_table(RECOMBINED_SAMPLES.table(rows))
                tried += len(rows)
                pace.tell(
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
            "self_recombinations": len(own),
            "gates": self._gates.describe(),
            "images_per_second": pace.rate(tried),
            "words": f"{accepted.total()} of {wanted} wanted samples accepted, "
            f"{refused.total()} refused",
        }

    def _edit(self, edit: dict[str, Any], host: Picture, donor: Picture) -> Edit:
        protected = [leaf for leaf in self._roles.label_carriers if leaf not in edit["nodes"]]
        return Edit(edit["operator"], host, donor, list(edit["nodes"]), protected)

    def _try(self, edits: list[dict[str, Any]]) -> list[dict[str, Any]]:
        ids = [edit["host_id"] for edit in edits] + [edit["donor_id"] for edit in edits]
        pictures = self._pictures.read(ids)
        hosts, donors = pictures[: len(edits)], pictures[len(edits) :]
        asked = list(map(self._edit, edits, hosts, donors))
        samples = compose_batch(asked, self._taxonomy, pool=self._pool)
        if self._painter is not None:
            nodes = [list(edit["nodes"]) for edit in edits]
            samples = self._painter.redraw(samples, nodes, [edit["seed"] for edit in edits])
        verdicts = self._gates.judge(samples, hosts, donors, edits)
        return list(self._pool.map(_row, edits, samples, verdicts))


def _slot(edit: Mapping[Any, Any]) -> tuple[str, str]:
    """Edits count against the wanted samples, or the wanted controls, of their cell."""
    kind = edit["direction"] if edit["direction"] in ("control", "self") else "fill"
    return kind, "\x1f".join([edit["label"], *edit["groups"]])


def _batches(
    plan: pd.DataFrame, missing: Counter[tuple[str, str]]
) -> Iterator[list[dict[str, Any]]]:
    """Edits in order, left out once their cell has what it wants."""
    batch: list[dict[str, Any]] = []
    pending: Counter[tuple[str, str]] = Counter()
    # As plain objects, a long plan is large: a piece of it at a time.
    pieces = (plan.iloc[start : start + 1024] for start in range(0, len(plan), 1024))
    for record in (record for piece in pieces for record in piece.to_dict("records")):
        edit = {str(name): value for name, value in record.items()}
        slot = _slot(edit)
        if missing[slot] <= 0:
            continue
        # No more at a time than the cell lacks: the next batch knows what the gates refused.
        if pending[slot] >= missing[slot] and batch:
            yield batch
            batch, pending = [], Counter()
            if missing[slot] <= 0:
                continue
        batch.append(edit)
        pending[slot] += 1
        if len(batch) == BATCH:
            yield batch
            batch, pending = [], Counter()
    if batch:
        yield batch


def _row(edit: dict[str, Any], sample: Recombined, verdict: Verdict) -> dict[str, Any]:
    buffer = io.BytesIO()
    # A low level: one more takes twice the time for two hundredths of the size.
    Image.fromarray(sample.image).save(buffer, "PNG", compress_level=3)
    height, width = sample.size
    return {
        **edit,
        "groups": list(edit["groups"]),
        "nodes": list(edit["nodes"]),
        "accepted": False,
        "reason": verdict.reason,
        "refused_by": list(verdict.refused_by),
        **verdict.numbers,
        "image": {"bytes": buffer.getvalue(), "path": f"{edit['edit_id']}.png"},
        "masks": [
            {"class_name": name, "rle": encode(mask)} for name, mask in sorted(sample.masks.items())
        ],
        "width": width,
        "height": height,
    }
