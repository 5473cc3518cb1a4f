"""Reading what the arms train on, each image once: as small arrays, whatever size it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from heml.dataset_folder.reader import read_split
from heml.effect.problem import TrainingSet
from heml.images.images_table import decode_image

#: Label and attribute values, in order: a group.
Group = tuple[str, ...]


def decode_resized(data: bytes, size: int) -> np.ndarray:
    """An encoded image as uint8 array (3, size, size), its sides scaled alike or not."""
    return resize_pixels(decode_image(data), size)


def resize_pixels(pixels: np.ndarray, size: int) -> np.ndarray:
    """Pixels, uint8 array (H, W, 3), likewise."""
    image = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def resize_ids(ids: np.ndarray, size: int) -> np.ndarray:
    """A mask of ids, uint8 array (H, W), as (size, size): nearest pixels, ids are not mixed."""
    return np.asarray(Image.fromarray(ids).resize((size, size), Image.Resampling.NEAREST))


def group_codes(groups: Sequence[Group], known: Mapping[Group, int]) -> np.ndarray:
    """Numbers of groups, int array (N,); -1 where the group has none: a value of it is missing."""
    return np.array([known.get(group, -1) for group in groups], dtype=int)


def read_rebalanced(
    folder: Path,
    label: str,
    codes: Mapping[str, int],
    size: int,
    known: Mapping[str, np.ndarray] | None = None,
) -> tuple[TrainingSet, np.ndarray]:
    """The train split of a rebalanced dataset, as its users load it.

    Parameters
    ----------
    folder : pathlib.Path
        The dataset: `store.rebalanced_dataset`.
    label : str
        Its column.
    codes : mapping of str to int
        Label value → code.
    size : int
    known : mapping of str to uint8 array (3, size, size), optional
        Images by id that need no second decoding.

    Returns
    -------
    TrainingSet
        Its groups are not told (-1): the weights balance them.
    bool array (N,)
        Whether each image is a recombined one.
    """
    known = known or {}
    images, targets, weights, recombined = [], [], [], []
    for batch in read_split(folder, "train", ["image_id", "image", "weight", "origin", label]):
        for row in batch.to_pylist():
            pixels = known.get(row["image_id"])
            images.append(decode_resized(row["image"]["bytes"], size) if pixels is None else pixels)
            targets.append(codes[row[label]])
            weights.append(row["weight"])
            recombined.append(row["origin"] == "recombined")
    groups = np.full(len(images), -1)
    data = TrainingSet(np.stack(images), np.array(targets), groups, np.array(weights))
    return data, np.array(recombined)
