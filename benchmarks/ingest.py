"""Ingest: images per second, and peak memory at two sizes of the same dataset.

`python -m benchmarks.ingest [--counts 5000 50000] [--side 32]` writes Parquet files of noise with
masks into a temporary folder, ingests them in processes of their own and prints a table. Flat
memory means that the larger set peaks little above the smaller one.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from data_contracts.common import IMAGE

_PER_FILE = 5000


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[5000, 50_000])
    parser.add_argument("--side", type=int, default=32, help="of the images, in pixels")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(_ingest(*map(Path, arguments.worker))))
        return
    print(f"{'images':>8}  {'images/s':>8}  {'CPU ms/image':>12}  {'peak MiB':>8}  grown MiB")
    for count in arguments.counts:
        with tempfile.TemporaryDirectory() as folder:
            _generate(Path(folder, "data"), count, arguments.side)
            command = [sys.executable, "-m", "benchmarks.ingest", "--worker"]
            done = subprocess.run(  # noqa: S603 - this module itself
                [*command, f"{folder}/data", f"{folder}/store"],
                check=True,
                capture_output=True,
                text=True,
            )
        result = json.loads(done.stdout.splitlines()[-1])
        assert result["accepted"] == count
        print(
            f"{count:8d}  {count / result['wall']:8.0f}  {1000 * result['cpu'] / count:12.2f}  "
            f"{result['peak']:8.0f}  {result['peak'] - result['before']:9.0f}",
            flush=True,
        )


def _generate(folder: Path, count: int, side: int) -> None:
    """Parquet files of noise: two labels, two attributes, one class on another."""
    folder.mkdir()
    (folder / "classes.json").write_text('{"0": "background", "1": "shape"}')
    rng = np.random.default_rng(0)
    for number, first in enumerate(range(0, count, _PER_FILE)):
        rows = range(first, min(first + _PER_FILE, count))
        masks = [_png((rng.random((side, side)) < 0.3).astype(np.uint8)) for _ in range(8)]
        images = [_png(rng.integers(0, 256, (side, side, 3), np.uint8)) for _ in rows]
        table = {
            "image": pa.array([{"bytes": data, "path": None} for data in images], IMAGE),
            "mask": [masks[n % 8] for n in rows],
            "label": ["round" if n % 2 else "square" for n in rows],
            "tone": ["light" if n % 4 < 2 else "dark" for n in rows],
        }
        pq.write_table(pa.table(table), folder / f"part-{number:03d}.parquet")


def _ingest(data: Path, store: Path) -> dict[str, float]:
    from heml.compute.progress import silent
    from heml.sources.ingest import ingest
    from heml.sources.layouts.parquet import ParquetSource
    from heml.sources.parquet import ParquetReader as _Loaded  # noqa: F401 - before the measure
    from heml.storage.store import Store
    from heml.taxonomy import Taxonomy

    leaves = {"background": ("background",), "shape": ("shape",)}
    taxonomy = Taxonomy("noise", leaves, {"image": ("background", "shape")})
    source = ParquetSource(kind="parquet", root=str(data), label="label", attributes=["tone"])
    before, wall, cpu = _peak(), time.perf_counter(), time.process_time()
    summary = ingest(Store(store), source, data, taxonomy, True, silent).summary
    return {
        "accepted": summary["accepted"],
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "before": before,
        "peak": _peak(),
    }


def _peak() -> float:
    """Largest resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():
        # what getrusage tells includes the process that started this one
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
