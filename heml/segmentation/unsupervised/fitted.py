"""What a set's images have in common, learned once and kept in the store."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heml.compute.prefetch import map_ahead
from heml.compute.progress import Progress
from heml.compute.save_tensors import save_tensors
from heml.images.images_table import decode_image, iterate_images
from heml.segmentation.segmenter import NotFitted
from heml.segmentation.unsupervised.model import Look, fit_model, look
from heml.storage.atomic_write import write_aside
from heml.storage.store import Store

WEIGHTS, _FACTS = "unsupervised.safetensors", "result.json"


class NoTrainImages(NotFitted):
    """There is nothing to learn from."""


def fitted_on(store: Store, most: int) -> tuple[set[str], str]:
    """Train images that are looked at: all, or of more a part that their hashes choose.

    Only train images: segments of held-out splits must not be better than those of new images.

    Returns
    -------
    set of str
        Ids.
    str
        Hash of the images.
    """

    def found() -> Iterator[tuple[str, str]]:
        for batch in iterate_images(store, ["image_id", "split", "sha256"]):
            for row in batch.to_pylist():
                if row["split"] == "train":
                    yield row["sha256"], row["image_id"]

    chosen = heapq.nsmallest(most, found())
    content = hashlib.sha256("\n".join(f"{i} {sha}" for sha, i in chosen).encode())
    return {image_id for _, image_id in chosen}, content.hexdigest()


def fitted_folder(
    store: Store, key: str, most: int, seed: int, progress: Progress
) -> tuple[Path, dict[str, Any]]:
    """The folder of a fitted finder of objects, fitted if it is not there yet, and its facts.

    Parameters
    ----------
    key : str
        Fingerprint under which it is kept.
    most : int
        Images that are looked at.

    Raises
    ------
    NoTrainImages
    """
    folder = store.segmenter / key
    if not (folder / _FACTS).is_file():
        image_ids, _ = fitted_on(store, most)
        if not image_ids:
            raise NoTrainImages(
                "segmentation: unsupervised learns from the train images, and there are none"
            )
        progress(f"segmenter: looking at {len(image_ids)} images")
        model = fit_model(map_ahead(_look, _images(store, image_ids)), seed)
        with write_aside(folder) as aside:
            aside.mkdir(exist_ok=True)
            save_tensors(model.tensors(), aside / WEIGHTS)
            (aside / _FACTS).write_text(json.dumps({"fitted_images": len(image_ids)}))
    else:
        progress("segmenter: fitted before, kept")
    return folder, json.loads((folder / _FACTS).read_text())


def _images(store: Store, image_ids: set[str]) -> Iterator[bytes]:
    for batch in iterate_images(store, ["image_id", "image"]):
        for row in batch.to_pylist():
            if row["image_id"] in image_ids:
                yield row["image"]["bytes"]


def _look(data: bytes) -> Look:
    return look(decode_image(data))
