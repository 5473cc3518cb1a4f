"""Recombined images per second against per-image loops, and memory over planned samples.

`python -m benchmarks.recombination [--root DIR --taxonomy NAME] [--quick]`

Speed: the same edits on the same 256 px pictures by `compose_batch` and by two loops, one image at
a time, of OpenCV (`seamlessClone`) and of Pillow (a feathered paste). All of them start from
decoded images with masks, and give images with masks. They take turns, and the least time counts:
processor time with one thread each, and wall time with all cores for what can use them. That is
`compose_batch` in one process per core, as the stage has them, each making all the edits. A process
has its pictures already, which it reads from the store in the stage, and keeps what it made, which
it encodes there. Pictures are drawn portraits, or those of a folder as `kind: folder` reads it.

Memory: the recombination stage on a generated plan of 32 px images, gates aside, in a process of
its own for every number of planned samples. Flat means that the longest plan peaks little above
the shortest.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from heml.compute.processes import Job, in_processes, process_count
from heml.compute.threads import worker_pool
from heml.recombination.compositing.compose import Edit, compose_batch
from heml.recombination.imaging.image_reader import SegmentedImageReader
from heml.recombination.imaging.segmented_image import SegmentedImage
from heml.storage.run_context import RunContext
from heml.taxonomy import Taxonomy, builtin

#: What is moved with which operator: leaves from small to large.
EDITS = {
    "portraits": (
        ("transplant", "mouth"),
        ("transplant", "eyes"),
        ("transplant", "hair"),
        ("transplant", "clothes"),
        ("background", "background"),
        ("recolor", "hair"),
    )
}
EDITS["celebamask_hq"] = EDITS["portraits"]
SIDE = 256
_CPU = torch.device("cpu")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recombination", description=__doc__)
    parser.add_argument("--root", type=Path, help="folder with metadata.csv, images and masks")
    parser.add_argument("--taxonomy", default="portraits", choices=sorted(EDITS))
    parser.add_argument("--quick", action="store_true", help="fewer pictures, shorter plans")
    parser.add_argument("--planned", type=int, nargs="+", help="planned samples of each run")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        folder, count = arguments.worker
        print(json.dumps(_write_samples(Path(folder), int(count))))
        return
    torch.set_num_threads(1)
    _speed(arguments.root, builtin(arguments.taxonomy), arguments.quick)
    _memory(arguments.planned or ([200, 2000] if arguments.quick else [1000, 20_000]))


@dataclass(frozen=True)
class _Turn:
    """Edits of one kind that one process makes; nothing is kept of a turn in the next."""

    number: int
    operator: str
    node: str
    pairs: list[tuple[int, int]]


class _Composer:
    """Composes edits of the pictures that its process has."""

    def __init__(self, root: Path | None, taxonomy: Taxonomy, quick: bool) -> None:
        count = 32 if quick else 64
        self.pictures = _portraits(count) if root is None else _folder(root, count)
        self._taxonomy = taxonomy
        self._turn, self._fresh = -1, self.pictures

    def edits(self, turn: _Turn) -> list[Edit]:
        """The turn's edits, with pictures of which nothing was measured before it."""
        if turn.number != self._turn:
            self._turn = turn.number
            self._fresh = [SegmentedImage(p.image, p.masks) for p in self.pictures]
        fresh = self._fresh
        return [Edit(turn.operator, fresh[a], fresh[b], [turn.node]) for a, b in turn.pairs]

    def __call__(self, turn: _Turn) -> int:
        return len(compose_batch(self.edits(turn), self._taxonomy, _CPU))


def _speed(root: Path | None, taxonomy: Taxonomy, quick: bool) -> None:
    import cv2

    from benchmarks import recombination_loops as loops

    cv2.setNumThreads(1)
    composer, processes = _Composer(root, taxonomy, quick), process_count()
    job = Job("compose", partial(_Composer, root, taxonomy, quick))
    count, rounds = (64, 2) if quick else (128, 6)
    rng = np.random.default_rng(0)
    print(
        f"{'edit':24s} {'ours':>7s} {'Clone':>7s} {'Pillow':>7s} {'÷Clone':>7s} {'÷Pillow':>8s}"
        f" | {'ours':>7s} {'Clone':>7s} {'÷Clone':>7s}"
    )
    totals, turn = np.zeros((4, 2)), 0
    for operator, node in EDITS[taxonomy.name]:
        classes = taxonomy.classes_of(node)
        usable = [i for i, p in enumerate(composer.pictures) if p.place(classes)]
        pairs = [(int(a), int(b)) for a, b in rng.choice(usable, (count, 2))]
        best = np.full((4, 2), np.inf)
        tasks: list[Callable[[_Turn, list[Edit]], object]] = [
            lambda _, edits: compose_batch(edits, taxonomy, _CPU),
            lambda _, edits: loops.opencv(edits, taxonomy),
            lambda _, edits: loops.pillow(edits, taxonomy),
            lambda turn, _: sum(in_processes(job, [turn] * processes, processes)),
        ]
        # The first turn starts processes, and is not counted.
        for number in range(rounds + 1):
            for place, task in enumerate(tasks):
                turn += 1
                asked = _Turn(turn, operator, node, pairs)
                edits = composer.edits(asked)
                start = time.process_time(), time.perf_counter()
                task(asked, edits)
                took = time.process_time() - start[0], time.perf_counter() - start[1]
                if number:
                    best[place] = np.minimum(best[place], took)
        best[3] /= processes
        totals += best
        _line(f"{operator} {node}", count / best)
    _line("all of them", count * len(EDITS[taxonomy.name]) / totals)
    print(
        "images per second: left of the line one thread, by processor time; right of it by wall "
        f"time, ours in {processes} processes at a time\nn = {count} edits each, "
        f"{len(composer.pictures)} pictures, {SIDE} px, least of {rounds} turns\n"
    )


def _line(name: str, rates: np.ndarray) -> None:
    ours, clone, paste = rates[:3, 0]
    threads, clone_wall = rates[3, 1], rates[1, 1]
    print(
        f"{name:24s} {ours:7.0f} {clone:7.0f} {paste:7.0f} {ours / clone:7.1f} {ours / paste:8.1f}"
        f" | {threads:7.0f} {clone_wall:7.0f} {threads / clone_wall:7.1f}",
        flush=True,
    )


def _portraits(count: int) -> list[SegmentedImage]:
    from heml.sources.portraits.drawing import draw
    from heml.sources.portraits.vocabulary import CLASSES

    pictures = []
    for seed in range(count):
        portrait = draw({}, seed, SIDE)
        masks = {name: portrait.mask == i for i, name in enumerate(CLASSES)}
        pictures.append(SegmentedImage(portrait.image, {n: m for n, m in masks.items() if m.any()}))
    return pictures


def _folder(root: Path, count: int) -> list[SegmentedImage]:
    from PIL import Image

    classes = json.loads((root / "classes.json").read_text())
    rows = pd.read_csv(root / "metadata.csv").dropna(subset=["mask_name"]).head(count)
    pictures = []
    for row in rows.itertuples():
        with Image.open(root / str(row.file_name)) as file:
            image = np.asarray(file.convert("RGB").resize((SIDE, SIDE)))
        with Image.open(root / str(row.mask_name)) as file:
            ids = np.asarray(file.resize((SIDE, SIDE), Image.Resampling.NEAREST))
        masks = {name: ids == int(key) for key, name in classes.items()}
        pictures.append(SegmentedImage(image, {n: m for n, m in masks.items() if m.any()}))
    return pictures


def _memory(counts: Sequence[int]) -> None:
    print(f"{'planned':>8s} {'samples/s':>10s} {'peak MiB':>9s} {'grown MiB':>10s}")
    with tempfile.TemporaryDirectory() as folder:
        _generate(Path(folder))
        for count in counts:
            command = [sys.executable, "-m", "benchmarks.recombination", "--worker", folder]
            done = subprocess.run(  # noqa: S603 - this module itself
                [*command, str(count)], check=True, capture_output=True, text=True
            )
            result = json.loads(done.stdout.splitlines()[-1])
            assert result["written"] == count
            print(
                f"{count:8d} {count / result['cpu']:10.0f} {result['peak']:9.0f} "
                f"{result['peak'] - result['before']:10.0f}",
                flush=True,
            )


def _generate(folder: Path) -> None:
    """A store with small portraits and their segments."""
    from heml.compute.progress import silent
    from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
    from heml.segmentation.segments_stage import segment
    from heml.sources.ingest import ingest
    from heml.sources.layouts.portraits import PortraitsSource
    from heml.storage.store import Store

    store, taxonomy = Store(folder / "store"), builtin("portraits")
    source = PortraitsSource(kind="portraits", count=300, size=32)
    ingest(store, source, folder, taxonomy, True, silent)
    segment(RunContext(store, taxonomy), AnnotatedSegmentation())


class _NoGates:
    """Accepts everything: votes take the same memory for every plan."""

    limits: ClassVar[dict[str, Any]] = {}

    def calibrate(self, _: object) -> None: ...

    def judge(self, samples: Sequence[Any], *_: object) -> list[Any]:
        from heml.recombination.gate import GATE_COLUMNS
        from heml.recombination.judging.judge import Verdict

        return [Verdict({c.name: None for c in GATE_COLUMNS}, ())] * len(samples)

    def describe(self) -> dict[str, Any]:
        return {}


def _write_samples(folder: Path, count: int) -> dict[str, float]:
    """Runs the stage on a plan of some samples; peak memory, before and in all."""
    from data_contracts import REBALANCE_PLAN
    from heml.compute.progress import silent
    from heml.images.images_table import ImageReader, image_index
    from heml.recombination.attribution.roles import Roles
    from heml.recombination.recombiner import Recombiner
    from heml.recombination.samples_table import write_samples
    from heml.storage.run_context import RunContext
    from heml.storage.store import Store

    store, taxonomy = Store(folder / "store"), builtin("portraits")
    ids = image_index(store, []).query("split == 'train'")["image_id"].to_numpy(str)
    rng = np.random.default_rng(0)
    kinds = [("transplant", "mouth"), ("recolor", "hair"), ("background", "background")]
    with pq.ParquetWriter(store.rebalance_plan, REBALANCE_PLAN.schema()) as writer:
        for start in range(0, count, 1000):
            rows = []
            for number in range(start, min(start + 1000, count)):
                operator, node = kinds[number % len(kinds)]
                host, donor = rng.choice(ids, 2)
                edit = {"edit_id": f"edit-{number:06d}", "label": "a", "attributes": ["b"]}
                edit |= {"direction": "swap_attribute", "operator": operator, "nodes": [node]}
                edit["recolored_nodes"] = []
                rows.append(edit | {"host_id": host, "donor_id": donor, "seed": number})
            writer.write_table(REBALANCE_PLAN.table(rows))
    groups = {"label": ["a"], "attributes": [["b"]], "deficit": [count], "within_group": [0]}
    groups |= {"n_balancing": [count], "n_within_group": [0]}
    target = folder / f"samples-{count}"
    with worker_pool() as pool:
        run, reader = RunContext(store, taxonomy), SegmentedImageReader(store)
        recombiner = Recombiner(run, Roles({}, ()), _NoGates(), reader, pool, pd.DataFrame())
        # From here on: loading modules has a peak of its own.
        Path("/proc/self/clear_refs").write_text("5")
        before, start_time = _peak(), time.process_time()
        images = ImageReader(store)
        summary = write_samples(target, recombiner, pd.DataFrame(groups), images, 0, silent)
    cpu = time.process_time() - start_time
    shutil.rmtree(target)
    return {"written": summary["accepted"], "cpu": cpu, "before": before, "peak": _peak()}


def _peak() -> float:
    """Largest resident memory of this process since it was last reset, in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
