"""Speed and memory of writing the dataset: images per second and peak memory, few and many images.

    python -m benchmarks.write [--counts 2000 20000] [--side 64]

Every size is written in a process of its own; its memory is the peak resident set of that process,
over what the imports alone take. Memory should be the same for every size.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from data_contracts import (
    ASSOCIATION,
    BIAS_SCORES,
    IMAGES,
    PLANNED_GROUPS,
    RECOMBINED_SAMPLES,
    SEGMENTS,
)
from data_contracts.common import INPUT_PREFIX, input_columns
from heml.dataset.dataset_stage import write_dataset
from heml.dataset.description import Description
from heml.segmentation.segment_rows import segment_rows
from heml.storage.run_context import RunContext
from heml.storage.sharded_parquet import ShardWriter
from heml.storage.store import Store
from heml.taxonomy import builtin

CLASSES = {0: "background", 1: "shape"}


def make_store(root: Path, count: int, side: int) -> Store:
    """A store of `count` noisy JPEG images, half as many recombined samples, all of it made up."""
    store = Store(root)
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (side, side, 3), np.uint8)
    ids = np.zeros((side, side), np.uint8)
    ids[side // 4 : side // 2, side // 4 :] = 1

    def jpeg(number: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(np.roll(base, number, axis=(0, 1))).save(buffer, "JPEG")
        return buffer.getvalue() + number.to_bytes(8, "little")

    contract = IMAGES.with_columns(input_columns(["label", "tone"]))
    with (
        ShardWriter(store.images, contract) as images,
        ShardWriter(store.segments, SEGMENTS) as segments,
        ShardWriter(store.recombined_samples, RECOMBINED_SAMPLES) as samples,
    ):
        for number in range(count):
            data, image_id = jpeg(number), f"image-{number:08d}"
            known = {"label": "ab"[number % 2], "tone": "xy"[number % 10 < 5]}
            row = {
                "image_id": image_id,
                "image": {"bytes": data, "path": f"{image_id}.jpg"},
                "mask": None,
                "width": side,
                "height": side,
                "split": "test" if number % 4 == 3 else "train",
                "label": known["label"],
                "sha256": hashlib.sha256(data).hexdigest(),
                "source_sha256": hashlib.sha256(data).hexdigest(),
            }
            images.write([row | {INPUT_PREFIX + n: v for n, v in known.items()}], len(data))
            rows = segment_rows(image_id, ids, CLASSES)
            segments.write(rows, 200)
            if number % 2 == 0:
                samples.write([_sample(number, data, rows, side)], len(data))
    store.finish("images", "i", {"content": "i", "read": count, **_COUNTS, "accepted": count}, [])
    store.finish("segments", "s", {"content": "s"}, [])
    tried = {"tried": count // 2, "accepted": count // 2, "refused": 0, "wanted": count // 2}
    by_kind = {"accepted_by_operator": {"transplant": count // 2}, "refused_by_reason": {}}
    store.finish("recombined_samples", "r", {**tried, **by_kind, "missing": 0}, [])
    store.finish("rebalance_plan", "p", {"notes": {}}, [])
    # Without targets every group keeps the share that it has.
    for contract, path in (
        (ASSOCIATION, store.association),
        (BIAS_SCORES, store.bias_scores),
        (PLANNED_GROUPS, store.planned_groups),
    ):
        pq.write_table(contract.schema().empty_table(), path)
    return store


_COUNTS = {"quarantined": 0, "excluded": 0}


def _sample(number: int, data: bytes, rows: list[dict], side: int) -> dict[str, object]:
    host = f"image-{number - number % 4:08d}"
    masks = [{"class_name": row["class_name"], "rle": row["rle"]} for row in rows]
    known = {
        "edit_id": f"edit-{number:08d}",
        "label": "a",
        "attributes": ["y"],
        "direction": "within_group",
        "operator": "transplant",
        "nodes": ["shape"],
        "recolored_nodes": [],
        "host_id": host,
        "donor_id": host,
        "seed": number,
        "accepted": True,
        "reason": "",
        "refused_by": [],
        "critic": None,
        "image": {"bytes": data, "path": "x.jpg"},
        "origins": [],
        "code_fingerprint": "0" * 16,
        "masks": masks,
        "width": side,
        "height": side,
    }
    return dict.fromkeys(RECOMBINED_SAMPLES.column_names) | known


def write(root: Path) -> dict[str, float]:
    """Writes the dataset of a store; what it took."""
    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = RunContext(Store(root), builtin("portraits"), ("tone",))
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = write_dataset(run, Description("bench", "label"), "recipe")
    return {
        "rows": outcome.summary["rows"],
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "imports": imports / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", nargs="+", type=int, default=[2000, 20000])
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.store:
        print(json.dumps(write(options.store)))
        return
    names = ("images", "rows", "rows/s", "rows/cpu s", "peak MB", "imports MB")
    print(" ".join(f"{name:>11}" for name in names))
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "store"
            make_store(root, count, options.side)
            done = subprocess.run(  # noqa: S603 - this very module
                [sys.executable, "-m", "benchmarks.write", "--store", str(root)],
                capture_output=True,
                text=True,
                check=True,
            )
        took = json.loads(done.stdout)
        speed = took["rows"] / took["wall"], took["rows"] / took["cpu"]
        numbers = (count, took["rows"], *speed, took["peak"], took["imports"])
        print(" ".join(f"{number:>11.0f}" for number in numbers))


if __name__ == "__main__":
    main()
