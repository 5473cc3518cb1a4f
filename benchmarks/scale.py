"""Ten times the images: time and peak memory of every stage, images to dataset.

`python -m benchmarks.scale [--counts 10000 100000] [--size 32] [--work DIR] [--out FILE.md]` makes
Parquet files of portraits (a few hundred drawn ones, each again and again in other light), trains
the metrics on a fixed sample of them, embeds all, plans, recombines and writes the dataset. Every
stage is a process of its own, as in a pipeline. Peak memory is what the process had for itself
(`RssAnon`, sampled), and all that was mapped into it (`ru_maxrss`), which includes pages of files
that the system may drop. Finished stages under `--work` are kept with their figures, so a stopped
run goes on; delete that folder to measure anew.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.direct import stage_calls
from benchmarks.tables import table
from data_contracts.common import IMAGE
from heml.sources.layouts.portraits import PortraitsSource
from heml.sources.portraits_source import PortraitsReader as Portraits
from heml.storage.store import Store
from pipelines.recipe.model import load_recipe

RECIPE = """\
name: scale
source: {{kind: parquet, root: data, label: mouth, attributes: [hair_tone]}}
taxonomy:
  leaves: {{background: [background], hair: [hair], mouth: [mouth], skin: [skin]}}
  tree: {{head: [hair, mouth, skin], image: [background, head]}}
  ignored: [hat, eyes, brows, nose, neck, clothes]
metric:
  train_images: 1000
  epochs: 2
  embedding: 16
  resolution: {{leaf: 16, branch: 16, root: 24}}
bias: {{resamples: 200, permutations: 200}}
rebalance: {{budget: {budget}}}
effect: {{enabled: false}}
"""
#: They read what is finished.
NOT_MEASURED = ("dataset_card", "report")
#: Portraits that are drawn, and rows of a file.
DRAWN, ROWS = 800, 5000


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--size", type=int, default=32, help="of the portraits, in pixels")
    parser.add_argument("--budget", type=float, default=0.05, help="samples per train image")
    parser.add_argument("--work", type=Path, default=Path("scale"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_measured(Path(options.worker[0]), options.worker[1])))
        return
    results = {
        count: _run(options.work / str(count), count, options.size, options.budget)
        for count in options.counts
    }
    text = _report(results)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def _run(folder: Path, count: int, size: int, budget: float) -> dict[str, dict[str, float]]:
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "scale.yaml"
    recipe.write_text(RECIPE.format(budget=budget))
    if not (folder / "data").exists():
        _generate(folder / "data", count, size)
    kept = folder / "figures.json"
    figures = dict(json.loads(kept.read_text())) if kept.exists() else {}
    for stage in stage_calls(load_recipe(recipe), Store(folder / "store")):
        if stage in figures or stage in NOT_MEASURED:
            continue
        command = [sys.executable, "-m", "benchmarks.scale", "--worker", str(folder), stage]
        done = subprocess.run(  # noqa: S603 - this module itself
            command, check=True, stdout=subprocess.PIPE, text=True
        )
        figures[stage] = json.loads(done.stdout.splitlines()[-1])
        kept.write_text(json.dumps(figures, indent=1))
        print(f"{count} {stage}: {figures[stage]}", flush=True)
    return figures


def _generate(folder: Path, count: int, size: int) -> None:
    """Portraits in other light: each a drawn one with its colors scaled and noise on top."""
    source = Portraits(PortraitsSource(kind="portraits", count=DRAWN, size=size, test_share=0.1))
    drawn = list(source.records())
    pixels = [np.asarray(Image.open(io.BytesIO(record.image or b""))) for record in drawn]
    aside = folder.with_name("data.tmp")
    aside.mkdir(exist_ok=True)
    (aside / "classes.json").write_text(json.dumps(source.classes()))
    rng = np.random.default_rng(0)
    for first in range(0, count, ROWS):
        numbers = range(first, min(first + ROWS, count))
        chosen = [drawn[number % DRAWN] for number in numbers]
        images = []
        for number in numbers:
            light = rng.uniform(0.8, 1.1, 3)
            noise = rng.normal(0, 4, (size, size, 3))
            lit = np.clip(pixels[number % DRAWN] * light + noise, 0, 255).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(lit).save(buffer, "PNG", compress_level=1)
            images.append({"bytes": buffer.getvalue(), "path": None})
        rows = {
            "image_id": [f"image-{number:07d}" for number in numbers],
            "image": pa.array(images, IMAGE),
            "mask": [record.mask for record in chosen],
            "split": [record.split for record in chosen],
            **{name: [r.columns[name] for r in chosen] for name in ("mouth", "hair_tone")},
        }
        pq.write_table(pa.table(rows), aside / f"part-{first // ROWS:04d}.parquet")
    aside.rename(folder)


def _measured(folder: Path, stage: str) -> dict[str, float]:
    recipe = load_recipe(folder / "scale.yaml")
    call = stage_calls(recipe, Store(folder / "store"))[stage]
    peak = _Peak()
    wall, cpu = time.perf_counter(), time.process_time()
    with peak:
        call(lambda line: None)
    mapped = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "wall_s": round(time.perf_counter() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "own_mib": round(peak.mib, 1),
        "mapped_mib": round(mapped, 1),
    }


class _Peak(threading.Thread):
    """Samples this process's anonymous memory while a block runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mib = 0.0
        self._done = threading.Event()

    def __enter__(self) -> _Peak:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        status = Path(f"/proc/{os.getpid()}/status")
        while True:
            found = re.search(r"RssAnon:\s+(\d+) kB", status.read_text())
            assert found is not None
            self.mib = max(self.mib, int(found[1]) / 1024)
            if self._done.wait(0.05):
                return


def _report(results: dict[int, dict[str, dict[str, float]]]) -> str:
    first, last = results[min(results)], results[max(results)]
    rows = []
    for stage in last:
        groups = [stage]
        for count in sorted(results):
            own = results[count][stage]
            groups += [f"{own['wall_s']:.0f}", f"{own['own_mib']:.0f}", f"{own['mapped_mib']:.0f}"]
        groups += [
            f"{last[stage][name] / max(first[stage][name], 0.1):.2f}"
            for name in ("wall_s", "own_mib", "mapped_mib")
        ]
        rows.append(groups)
    total = ["all stages"]
    for count in sorted(results):
        own = results[count].values()
        total += [f"{sum(s['wall_s'] for s in own):.0f}"]
        total += [f"{max(s[name] for s in own):.0f}" for name in ("own_mib", "mapped_mib")]
    walls = [sum(s["wall_s"] for s in each.values()) for each in (first, last)]
    peaks = [
        [max(s[name] for s in each.values()) for each in (first, last)]
        for name in ("own_mib", "mapped_mib")
    ]
    total += [f"{walls[1] / walls[0]:.2f}", *(f"{b / a:.2f}" for a, b in peaks)]
    header = ["stage"]
    for count in sorted(results):
        header += [f"{count}: s", "own MiB", "mapped MiB"]
    return table([*header, "times", "own times", "mapped times"], [*rows, total])


if __name__ == "__main__":
    main()
