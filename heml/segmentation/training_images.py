"""Train images of a store: what each is for, and their pixels at training size."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from heml.compute.prefetch import map_ahead
from heml.images.images_table import decode_image, decode_mask, iterate_images
from heml.segmentation.trained_settings import TrainedSegmentation
from heml.segmentation.training_batches import Examples
from heml.storage.store import Store

#: SegFormer divides sides by 4 and looks at 8×8 of what is left.
_LEAST_SIDE = 64
#: Annotated images to fit on without which there is no segmenter, and as many as are held out if
#: there are enough to fit on: an IoU of one or two images tells nothing.
LEAST_FITTED, _LEAST_HELD_OUT = 8, 5


class TooFewAnnotated(ValueError):
    """There are not enough annotated images to fit a segmenter."""


@dataclass(frozen=True)
class TrainImages:
    """Ids of a store's train images.

    Parameters
    ----------
    fitted : list of str
        Annotated, to fit on, in stored order.
    held_out : set of str
        Annotated, to measure with.
    unannotated : list of str
        Without a mask, at most as many as the settings say.
    size : tuple of int
        Height and width of training images.
    """

    fitted: list[str]
    held_out: set[str]
    unannotated: list[str]
    size: tuple[int, int]


def training_size(shapes: np.ndarray, pixels: int) -> tuple[int, int]:
    """Height and width of training images: the median shape of the dataset, multiples of 32.

    Parameters
    ----------
    shapes : ndarray, shape (n, 2)
        Heights and widths.
    pixels : int
        About how many pixels.
    """
    ratio = float(np.median(shapes[:, 0] / shapes[:, 1]))
    height = max(_LEAST_SIDE, 32 * round(math.sqrt(pixels * ratio) / 32))
    return height, max(_LEAST_SIDE, 32 * round(pixels / height / 32))


def is_held_out(image_id: str, settings: TrainedSegmentation) -> bool:
    """Whether an annotated train image is kept from fitting: by its id, whatever the order."""
    return _hash(image_id, settings.seed) < settings.validation_share


def held_out_images(image_ids: Collection[str], settings: TrainedSegmentation) -> set[str]:
    """Annotated train images that are kept from fitting.

    Those of `is_held_out`; where these are few, the next by the same hash, as far as enough are
    left to fit on.
    """
    drawn = sorted(image_ids, key=lambda image_id: _hash(image_id, settings.seed))
    wanted = sum(is_held_out(image_id, settings) for image_id in drawn)
    spare = len(drawn) - LEAST_FITTED
    return set(drawn[: max(1, min(spare, max(wanted, _LEAST_HELD_OUT)))])


def _hash(image_id: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def train_images(store: Store, settings: TrainedSegmentation) -> TrainImages:
    """Train images of a store by what they are for.

    Raises
    ------
    TooFewAnnotated
    """
    shapes: dict[str, tuple[int, int]] = {}
    unannotated: list[str] = []
    for batch in iterate_images(store, ["image_id", "split", "height", "width", "mask"]):
        for row in batch.to_pylist():
            if row["split"] != "train":
                continue
            if row["mask"] is None:
                unannotated.append(row["image_id"])
            else:
                shapes[row["image_id"]] = row["height"], row["width"]
    held_out = held_out_images(shapes, settings)
    fitted = [image_id for image_id in shapes if image_id not in held_out]
    if len(fitted) < LEAST_FITTED or not held_out:
        raise TooFewAnnotated(
            f"segmentation: trained needs annotated train images, at least {LEAST_FITTED} to fit "
            f"on and one held out; found {len(shapes)}: annotate more, or use "
            "kind: pretrained, prompted or unsupervised, which need none"
        )
    if len(unannotated) > settings.most_pseudo_labels:
        unannotated = _chosen(unannotated, settings)
    size = training_size(np.array([shapes[i] for i in fitted]), settings.pixels)
    return TrainImages(fitted, held_out, unannotated, size)


def _chosen(image_ids: list[str], settings: TrainedSegmentation) -> list[str]:
    """As many as the settings want, chosen by their ids, in stored order."""
    drawn = sorted(image_ids, key=lambda image_id: _hash(image_id, settings.seed))
    chosen = set(drawn[: settings.most_pseudo_labels])
    return [image_id for image_id in image_ids if image_id in chosen]


def iterate_chosen(
    store: Store, image_ids: Collection[str], columns: list[str]
) -> Iterator[dict[str, Any]]:
    """Rows of some images in stored order."""
    wanted = set(image_ids)
    for batch in iterate_images(store, ["image_id", *columns]):
        for row in batch.to_pylist():
            if row["image_id"] in wanted:
                yield row


def annotated_examples(
    store: Store, images: TrainImages, lut: np.ndarray, folder: Path
) -> Examples:
    """Annotated images to fit on.

    Parameters
    ----------
    store : Store
    images : TrainImages
    lut : ndarray of uint8, shape (256,)
        Class id in the masks → class index.
    folder : pathlib.Path
        Empty, for memory-mapped files.
    """

    def resized(row: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        pixels, ids = decode_image(row["image"]["bytes"]), lut[decode_mask(row["mask"])]
        return resized_image(pixels, images.size), resized_mask(ids, images.size)

    rows = iterate_chosen(store, images.fitted, ["image", "mask"])
    return on_disk(map_ahead(resized, rows), len(images.fitted), images.size, folder)


def on_disk(
    found: Iterable[tuple[np.ndarray, np.ndarray]], count: int, size: tuple[int, int], folder: Path
) -> Examples:
    """Images and masks in memory-mapped files.

    Parameters
    ----------
    found : iterable of (ndarray of uint8, ndarray of uint8)
        Of `size`.
    count : int
        How many.
    size : tuple of int
        Height and width.
    folder : pathlib.Path
        Made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    open_file = np.lib.format.open_memmap
    images = open_file(folder / "images.npy", "w+", np.uint8, (count, *size, 3))
    masks = open_file(folder / "masks.npy", "w+", np.uint8, (count, *size))
    for place, (image, mask) in enumerate(found):
        images[place], masks[place] = image, mask
    return Examples(images, masks)


def resized_image(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An RGB image, uint8 (height, width, 3), at another height and width."""
    image = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def resized_mask(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Class indices, uint8 (height, width), at another height and width."""
    return np.asarray(Image.fromarray(ids).resize((size[1], size[0]), Image.Resampling.NEAREST))
