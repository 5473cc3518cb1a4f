"""Test images with one of their own segments put back: does an edit without effect change what a
network says?"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.effect_tasks import Task
from heml.effect.training_images import resize_pixels
from heml.images.images_table import decode_image, iterate_images
from heml.recombination.compositing.compose import compose
from heml.recombination.imaging.segmented_image import SegmentedImage
from heml.segmentation.masks import SegmentReader
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.store import Store
from heml.taxonomy import Taxonomy


def self_recombined(
    store: Store, taxonomy: Taxonomy, task: Task, names: list[str], size: int, cache: Path
) -> np.ndarray:
    """Test images with one of their own segments put where it was, as the plan moves others.

    Parameters
    ----------
    names : list of str
        File names of the test images.

    Returns
    -------
    uint8 array (N, 3, size, size)
        Images without a fitting segment, or that the pipeline refused, stay as they are.
    """
    key = fingerprint(store.fingerprint("rebalance_plan"), names, size)
    path = cache / f"{task.name}-controls-{key}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return stored["images"]
    plan = pd.read_parquet(store.rebalance_plan)
    kinds = sorted({(row.operator, tuple(row.nodes)) for row in plan.itertuples()})
    kinds = [kind for kind in kinds if kind[0] not in ("insert", "remove")]
    ids = {
        row["sha256"]: row["image_id"]
        for batch in iterate_images(store, ["image_id", "sha256"])
        for row in batch.to_pylist()
    }
    segments = SegmentReader(store)
    rng = np.random.default_rng(0)
    images = []
    for name in names:
        data = (task.root / name).read_bytes()
        pixels = decode_image(data)
        image_id = ids.get(hashlib.sha256(data).hexdigest())
        masks = segments.masks(image_id) if image_id else {}
        fitting = [
            (operator, nodes)
            for operator, nodes in kinds
            if any(c in masks for node in nodes for c in taxonomy.classes_of(node))
        ]
        if fitting:
            operator, nodes = fitting[int(rng.integers(len(fitting)))]
            own = SegmentedImage(pixels, masks)
            pixels = compose(operator, own, own, list(nodes), taxonomy).image
        images.append(resize_pixels(pixels, size))
    result = np.stack(images)
    cache.mkdir(parents=True, exist_ok=True)
    with write_aside(path) as aside, aside.open("wb") as file:
        np.savez(file, images=result)
    return result
