"""Node views: what the network of a tree node sees of an image.

The crop around the node's pixels, everything else neutral, as uint8 with the node's mask as fourth
channel. Views are kept memory-mapped: training reads batches of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from heml.images.bounding_box import bounding_box

#: Of the views in files; raised when the same image gets another view.
VERSION = 1
#: Value of pixels that do not belong to the node: the middle of the range, zero after scaling.
NEUTRAL = 128
#: A pixel that is not of the node.
_ABSENT = np.array([NEUTRAL, NEUTRAL, NEUTRAL, 0], np.uint8)
#: Room around the node's box, as a share of its longer side.
MARGIN = 0.1


def union(masks: Mapping[str, np.ndarray], classes: Iterable[str]) -> np.ndarray | None:
    """Pixels of any of the classes.

    Parameters
    ----------
    masks : mapping of class name to bool array (H, W)
    classes : iterable of str

    Returns
    -------
    bool array (H, W), or None if no class has a pixel.
    """
    present = [masks[name] for name in classes if name in masks]
    if not present:
        return None
    mask = np.logical_or.reduce(present)
    return mask if mask.any() else None


def node_view(image: np.ndarray, mask: np.ndarray | None, resolution: int) -> np.ndarray:
    """One view.

    Parameters
    ----------
    image : uint8 array (H, W, 3), RGB
    mask : bool array (H, W), or None if the node is absent
    resolution : int
        Side of the view in pixels.

    Returns
    -------
    uint8 array (4, resolution, resolution)
        RGB and coverage of the node; an absent node is neutral with coverage 0.
    """
    box = None if mask is None else bounding_box(mask)
    if mask is None or box is None:
        absent = np.full((4, resolution, resolution), NEUTRAL, np.uint8)
        absent[3] = 0
        return absent
    left, top, right, bottom = box
    side = max(right - left, bottom - top) * (1 + MARGIN)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    # Integer square around the box; what lies outside the image counts as not of the node.
    x0, y0, size = int(np.floor(x)), int(np.floor(y)), int(np.ceil(side)) + 1
    patch = np.full((size, size, 1), _ABSENT.view(np.uint32)).view(np.uint8)
    source = (
        slice(max(y0, 0), min(y0 + size, image.shape[0])),
        slice(max(x0, 0), min(x0 + size, image.shape[1])),
    )
    target = (
        slice(source[0].start - y0, source[0].stop - y0),
        slice(source[1].start - x0, source[1].stop - x0),
    )
    place = patch[target]
    place[..., :3] = image[source]
    place[..., 3] = 255
    # A pixel's four bytes at once: picking pixels by a mask takes several times as long.
    np.copyto(place.view(np.uint32)[..., 0], _ABSENT.view(np.uint32), where=~mask[source])
    # Four plain bands: in RGBA mode colors would be weighted by the fourth.
    resized = Image.fromarray(patch, "CMYK").resize(
        (resolution, resolution), Image.Resampling.BILINEAR
    )
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


class ViewWriter:
    """Writes the views of several nodes in one pass over the images.

    Parameters
    ----------
    paths : mapping of node to pathlib.Path
        One `.npy` file per node, uint8 (count, 4, resolution, resolution).
    resolutions : mapping of node to int
    classes : mapping of node to sequence of str
        Semantic classes of each node.
    count : int
        Number of images.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        resolutions: Mapping[str, int],
        classes: Mapping[str, Sequence[str]],
        count: int,
    ) -> None:
        self._resolutions = resolutions
        self._classes = classes
        self._views: dict[str, np.memmap[Any, np.dtype[np.uint8]]] = {}
        for node, path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            side = resolutions[node]
            self._views[node] = np.lib.format.open_memmap(
                path, mode="w+", dtype=np.uint8, shape=(count, 4, side, side)
            )

    def put(self, row: int, image: np.ndarray, masks: Mapping[str, np.ndarray]) -> None:
        """Writes one image's views into its row of every node's file; threads may share this."""
        for node, views in self._views.items():
            mask = union(masks, self._classes[node])
            views[row] = node_view(image, mask, self._resolutions[node])

    def close(self) -> None:
        """Flushes to disk; nothing can be put after that."""
        for views in self._views.values():
            views.flush()
        self._views = {}


def open_views(path: Path) -> np.ndarray:
    """Views of a node, memory-mapped, uint8 (N, 4, R, R)."""
    return np.load(path, mmap_mode="r", allow_pickle=False)
