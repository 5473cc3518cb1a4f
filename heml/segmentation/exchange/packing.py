"""Images of a store with their segments for an annotation tool, and finding them again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from heapq import nsmallest
from pathlib import Path

from PIL import Image

from data_contracts.segments import SEGMENTS
from heml.images.images_table import ImageReader, iterate_images, open_image
from heml.segmentation.corrections import file_stem
from heml.segmentation.exchange.form import Annotated, Form
from heml.segmentation.masks import SegmentReader
from heml.storage.sharded_parquet import ShardedTable
from heml.storage.store import Store
from heml.taxonomy import BACKGROUND, Taxonomy

_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp"}


def pack(
    store: Store,
    taxonomy: Taxonomy,
    form: Form,
    folder: Path,
    count: int,
    seed: int,
    doubted: bool,
) -> tuple[int, Path]:
    """Writes pictures and annotations.

    Parameters
    ----------
    store : Store
        With a finished segments stage.
    taxonomy : Taxonomy
        Of the stored segments.
    form : Form
    folder : pathlib.Path
        Must not exist.
    count : int
        Images at most.
    seed : int
    doubted : bool
        Choose those with the least sure segments, not by the seed.

    Returns
    -------
    int
        Images written.
    pathlib.Path
        The file with the annotations.

    Raises
    ------
    FileNotFoundError
        If a stage has not run.
    """
    store.summary("segments")
    chosen = _least_sure(store, count) if doubted else _by_seed(store, count, seed)
    names = [name for name in taxonomy.class_names if name != BACKGROUND]
    (folder / "images").mkdir(parents=True)
    path = form.write(_images(store, chosen, names, folder / "images"), names, folder)
    return len(chosen), path


def known_images(store: Store) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """File name without ending → image id, as `pack` names files and as the image id ends; and
    height and width by image id.

    Names that two images share name none.
    """
    names: dict[str, str | None] = {}
    sizes = {}
    for batch in iterate_images(store, ["image_id", "height", "width"], 1024):
        for row in batch.to_pylist():
            image_id = row["image_id"]
            sizes[image_id] = (row["height"], row["width"])
            own = file_stem(image_id)
            names[own] = image_id if own not in names else None
            names[_packed_stem(image_id)] = image_id
    return {name: image_id for name, image_id in names.items() if image_id is not None}, sizes


def _packed_stem(image_id: str) -> str:
    """A name for an image that no other has, which any file system takes."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", image_id.rsplit("/", 1)[-1])[:60]
    return f"{hashlib.sha256(image_id.encode()).hexdigest()[:10]}_{safe}"


def _images(store: Store, chosen: list[str], names: list[str], folder: Path) -> Iterator[Annotated]:
    images, segments = ImageReader(store), SegmentReader(store)
    for image_id in chosen:
        (row,) = images.rows([image_id], ["image", "height", "width"])
        data = row["image"]["bytes"]
        with open_image(data) as image:
            suffix = _SUFFIXES.get(image.format or "", "")
            name = _packed_stem(image_id) + (suffix or ".png")
            if suffix:
                (folder / name).write_bytes(data)
            else:
                Image.Image.save(image.convert("RGB"), folder / name, "PNG")
        masks = segments.masks(image_id)
        found = [(each, masks[each]) for each in names if each in masks]
        yield Annotated(name, (row["height"], row["width"]), found)


def _by_seed(store: Store, count: int, seed: int) -> list[str]:
    ids = (
        i for batch in iterate_images(store, ["image_id"]) for i in batch["image_id"].to_pylist()
    )
    return nsmallest(count, ids, key=lambda i: hashlib.sha256(f"{seed}:{i}".encode()).digest())


def _least_sure(store: Store, count: int) -> list[str]:
    """Images by their least sure segment; doubted ones first."""
    worst: dict[str, tuple[bool, float]] = {}
    for batch in ShardedTable(store.segments, SEGMENTS).batches(
        ["image_id", "confidence", "doubt"], 4096
    ):
        for row in batch.to_pylist():
            rank = (row["doubt"] is None, row["confidence"])
            worst[row["image_id"]] = min(worst.get(row["image_id"], (True, 2.0)), rank)
    return nsmallest(count, worst, key=lambda i: (worst[i], i))
