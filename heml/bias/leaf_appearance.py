"""What a leaf looks like in each image, described without label or training.

Attributes are sought in this beside what was trained. A metric is trained for the label, so its
embeddings cluster by label: a cluster that conflicts with the label may be the metric's own
mistake. A plain description depends on neither label nor network: a segment that looks like
another label's in it is not just one that the network failed to learn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping

import numpy as np
import torch
from kornia.color import rgb_to_lab
from torch.nn.functional import adaptive_avg_pool2d

from heml.compute.threads import worker_pool
from heml.compute.throttled_progress import ThrottledProgress
from heml.images.images_table import decode_image, iterate_images
from heml.metrics.views import union
from heml.segmentation.masks import iterate_masks
from heml.storage.run_context import RunContext

#: Sides of a leaf's box that are looked at, evenly spread: enough for means and thumbnails.
MOST_PIXELS = 64
#: Side of the thumbnails of its shape and lightness.
THUMBNAIL = 8
#: The first numbers of a description are the mean color.
COLOR = slice(0, 3)
#: Numbers of a description.
SIZE = 11 + 2 * THUMBNAIL**2


def describe(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Color, place, size, shape and light and dark of the masked pixels.

    Parameters
    ----------
    image : uint8 array (H, W, 3), RGB
    mask : bool array (H, W), not empty

    Returns
    -------
    float32 array (SIZE,)
        Mean and standard deviation in CIE L*a*b*, D65 (equal distances look about equally
        different); the logarithm of the share of the image's pixels; the center and the box's
        height and width as shares of the image's; the mask, and lightness less its mean, inside
        the box at `THUMBNAIL` × `THUMBNAIL`.
    """
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    sides = np.array([box[0].stop - box[0].start, box[1].stop - box[1].start])
    own, pixels = _thinned(mask[box], image[box], -(-sides.max() // MOST_PIXELS))
    lab = _lab(pixels)
    inside = lab[:, own]
    mean = inside.mean(axis=1)
    share = mask.mean()
    y, x = mask.sum(axis=1) @ np.arange(height), mask.sum(axis=0) @ np.arange(width)
    center = np.array([y / height, x / width]) / mask.sum()
    shape, light = own.astype(np.float32), np.where(own, lab[0] - mean[0], 0)
    small = adaptive_avg_pool2d(torch.from_numpy(np.stack([shape, light]))[None], THUMBNAIL)
    parts = [mean, inside.std(axis=1), [np.log(share)], center, sides / mask.shape]
    return np.concatenate([*parts, small.numpy().ravel()]).astype(np.float32)


def _thinned(mask: np.ndarray, pixels: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    thin = mask[::step, ::step]
    return (thin, pixels[::step, ::step]) if thin.any() else (mask, pixels)


def _lab(pixels: np.ndarray) -> np.ndarray:
    rgb = torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1) / 255)
    return rgb_to_lab(rgb[None])[0].numpy()


def leaf_appearances(run: RunContext, count: int) -> dict[str, np.ndarray]:
    """Descriptions of every leaf in every image, in one pass.

    Parameters
    ----------
    count : int
        Number of images.

    Returns
    -------
    dict of str to float32 array (N, SIZE)
        NaN where an image does not show the leaf. In a file of the store's folder that is gone when
        the arrays are: memory does not grow with the images.
    """
    found: dict[str, np.ndarray] = {}
    for leaf in run.taxonomy.leaves:
        with tempfile.TemporaryFile(dir=run.store.root) as scratch:
            found[leaf] = np.memmap(scratch, np.float32, "w+", shape=(max(count, 1), SIZE))[:count]
        found[leaf][:] = np.nan
    classes = {leaf: run.taxonomy.classes_of(leaf) for leaf in run.taxonomy.leaves}
    done, throttled, masks = 0, ThrottledProgress(run.progress), iterate_masks(run.store)

    def describe_row(row: int, data: bytes, segments: Mapping[str, np.ndarray]) -> None:
        image = decode_image(data)
        for leaf in found:
            mask = union(segments, classes[leaf])
            if mask is not None:
                found[leaf][row] = describe(image, mask)

    with worker_pool() as pool:
        for batch in iterate_images(run.store, ["image_id", "image"]):
            images = [image["bytes"] for image in batch.column("image").to_pylist()]
            segments = [next(masks)[1] for _ in images]
            list(pool.map(describe_row, range(done, done + len(images)), images, segments))
            done += len(images)
            throttled.tell(f"discovered_groups: appearance, image {done}/{count}")
    return found
