"""What a leaf looks like in each image, described without label or training: its mean color.

Attributes are sought in this and not in the trained embeddings. A metric is trained for the label,
so its embeddings cluster by label: a cluster that conflicts with the label would be the metric's
own mistake, every leaf would seem to rely on its clusters, and a leaf that rightly predicts the
label would be taken for a bias. Color depends on neither label nor network, and is what
backgrounds, hair, clothes and light differ in. Shapes and textures are not described: attributes
in them stay undiscovered.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from kornia.color import rgb_to_lab

from heml.compute.threads import worker_pool
from heml.compute.throttled_progress import ThrottledProgress
from heml.images.images_table import decode_image, iterate_images
from heml.metrics.views import union
from heml.segmentation.masks import iterate_masks
from heml.storage.run_context import RunContext

#: Pixels of a leaf that are looked at, evenly spread: enough for a mean.
MOST_PIXELS = 4096


def mean_color(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean color of the masked pixels.

    Parameters
    ----------
    image : uint8 array (H, W, 3), RGB
    mask : bool array (H, W), not empty

    Returns
    -------
    float32 array (3,)
        CIE L*a*b*, D65: equal distances look about equally different.
    """
    pixels = image[mask]
    pixels = pixels[:: -(-len(pixels) // MOST_PIXELS)]
    rgb = torch.from_numpy(pixels.astype(np.float32).T / 255).reshape(1, 3, 1, -1)
    return rgb_to_lab(rgb).mean(dim=(0, 2, 3)).numpy()


def leaf_colors(run: RunContext, count: int) -> dict[str, np.ndarray]:
    """Mean color of every leaf in every image, in one pass.

    Parameters
    ----------
    count : int
        Number of images.

    Returns
    -------
    dict of str to float32 array (N, 3)
        NaN where an image does not show the leaf.
    """
    colors = {leaf: np.full((count, 3), np.nan, np.float32) for leaf in run.taxonomy.leaves}
    classes = {leaf: run.taxonomy.classes_of(leaf) for leaf in run.taxonomy.leaves}
    done, throttled, masks = 0, ThrottledProgress(run.progress), iterate_masks(run.store)

    def describe(row: int, data: bytes, segments: Mapping[str, np.ndarray]) -> None:
        image = decode_image(data)
        for leaf in colors:
            mask = union(segments, classes[leaf])
            if mask is not None:
                colors[leaf][row] = mean_color(image, mask)

    with worker_pool() as pool:
        for batch in iterate_images(run.store, ["image_id", "image"]):
            images = [image["bytes"] for image in batch.column("image").to_pylist()]
            segments = [next(masks)[1] for _ in images]
            list(pool.map(describe, range(done, done + len(images)), images, segments))
            done += len(images)
            throttled.tell(f"discovered_groups: colors, image {done}/{count}")
    return colors
