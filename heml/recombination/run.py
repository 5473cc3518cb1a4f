"""The stage: composes the planned edits, judges them, keeps as many as are wanted."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

from data_contracts import RECOMBINED_SAMPLES
from heml.cells import cell_codes
from heml.images import ImageReader, decode_image, image_index
from heml.metrics.artifacts import load_node
from heml.pace import Pace
from heml.progress import Progress
from heml.recombination.compose import Picture, compose
from heml.recombination.gates import Gates, Verdict, distribution_limit
from heml.recombination.plan import planned_roles
from heml.recombination.roles import Roles
from heml.segmentation.masks import SegmentReader, encode
from heml.settings import MetricSettings, RebalanceSettings
from heml.stage import Outcome, run_stage
from heml.store import Store, fingerprint, write_aside
from heml.taxonomy import Taxonomy
from heml.tree.tree import MetricTree
from heml.workers import worker_pool

VERSION = 3
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
) -> Outcome:
    """Writes `store.recombined_samples`: every edit that was tried, accepted or not."""
    key = fingerprint(
        VERSION,
        store.fingerprint("rebalance_plan"),
        store.fingerprint("metric_tree"),
        rebalance.model_dump(),
        metric.neighbours,
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        tree = MetricTree.load(store.metric_tree)
        index = image_index(store, list(groups))
        roles = planned_roles(store)
        cells_of_images, _ = cell_codes(index, ["label", *groups])
        root = load_node(store, taxonomy.root)
        limit = distribution_limit(root, cells_of_images, metric.neighbours)
        gates = Gates(tree, roles, groups, limit)
        cells = pd.read_parquet(store.planned_cells)
        with write_aside(store.recombined_samples) as folder, worker_pool() as pool:
            worker = _Recombiner(store, taxonomy, roles, gates, pool)
            folder.mkdir(parents=True)
            summary = worker.write(folder / "part-00000.parquet", cells, progress)
        progress(f"recombined_samples: {summary['words']}")
        return summary, [store.recombined_samples]

    return run_stage(store, "recombined_samples", key, compute, progress)


class _Recombiner:
    def __init__(
        self,
        store: Store,
        taxonomy: Taxonomy,
        roles: Roles,
        gates: Gates,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._pool = pool
        self._store = store
        self._taxonomy = taxonomy
        self._roles = roles
        self._gates = gates
        self._images = ImageReader(store)
        self._segments = SegmentReader(store)

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
            "images_per_second": pace.rate(tried),
            "words": f"{accepted.total()} of {wanted} wanted samples accepted, "
            f"{refused.total()} refused",
        }

    def _picture(self, image_id: str) -> Picture:
        row = self._images.rows([image_id], ["image"])[0]
        return Picture(decode_image(row["image"]["bytes"]), self._segments.masks(image_id))

    def _compose(self, edit: dict[str, Any], host: Picture, donor: Picture) -> Picture:
        protected = [leaf for leaf in self._roles.label_carriers if leaf not in edit["nodes"]]
        nodes = list(edit["nodes"])
        return compose(edit["operator"], host, donor, nodes, self._taxonomy, protected)

    def _try(self, edits: list[dict[str, Any]]) -> list[dict[str, Any]]:
        hosts = [self._picture(edit["host_id"]) for edit in edits]
        donors = [self._picture(edit["donor_id"]) for edit in edits]
        samples = list(self._pool.map(self._compose, edits, hosts, donors))
        verdicts = self._gates.judge(samples, hosts, edits)
        return [
            _row(edit, sample, verdict)
            for edit, sample, verdict in zip(edits, samples, verdicts, strict=True)
        ]


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
    for record in plan.to_dict("records"):
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


def _row(edit: dict[str, Any], sample: Picture, verdict: Verdict) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(sample.image).save(buffer, "PNG")
    height, width = sample.image.shape[:2]
    return {
        **edit,
        "groups": list(edit["groups"]),
        "nodes": list(edit["nodes"]),
        "accepted": False,
        "reason": verdict.reason,
        "gate_label": verdict.label,
        "gate_group": verdict.group,
        "gate_distribution": verdict.distribution if np.isfinite(verdict.distribution) else None,
        "gate_change": verdict.change,
        "image": {"bytes": buffer.getvalue(), "path": f"{edit['edit_id']}.png"},
        "masks": [
            {"class_name": name, "rle": encode(mask)} for name, mask in sorted(sample.masks.items())
        ],
        "width": width,
        "height": height,
    }
