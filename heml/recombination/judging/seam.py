"""Measuring whether a paste shows, at its outline and inside it.

The same numbers are taken at the borders of real images' own segments, where nothing was pasted;
`seam_limits` compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_erosion

from heml.images.bounding_box import bounding_box
from heml.metrics.views import union
from heml.recombination.imaging.lab import rgb_to_lab
from heml.recombination.imaging.segmented_image import Recombined

#: Pixels between the two sides of an outline: a feathered seam is that wide.
REACH = 3
#: Margin around the pasted pixels that is measured, in pixels.
_ROOM = 12
#: Width of the ring that filled pixels are compared with.
_RING = 8
#: Least filled share of the image whose detail is judged.
LEAST_FILLED = 0.003
#: A class that makes up this share of the filled pixels is what they should resemble.
OWN_SHARE = 0.2


class SeamNumbers(NamedTuple):
    """Logarithms; NaN where there is nothing to measure.

    Parameters
    ----------
    step : float
        LAB step across the outline of what was pasted over the steps beside it. High: an edge
        shows.
    border : float
        The same at the outline of the moved segment. Low: it is smeared.
    detail : float
        Fine detail of the moved segment over that in the rest of the image. Low: smeared; high:
        noisy.
    filled : float
        Fine detail of filled pixels over that around them. Low: a blurred patch.
    """

    step: float
    border: float
    detail: float
    filled: float


def seam_numbers(
    image: np.ndarray,
    pasted: np.ndarray,
    filled: np.ndarray,
    segment: np.ndarray,
    reference: np.ndarray | None = None,
) -> SeamNumbers:
    """Measures an image at pixels that were pasted and filled.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
    pasted, filled : bool arrays (H, W)
    segment : bool array (H, W)
        The moved segment as it is now: detail is compared between segments of one kind.
    reference : bool array (H, W), optional
        Pixels that filled ones are compared with; by default all.
    """
    touched = pasted | filled
    box = bounding_box(touched)
    if box is None:
        return SeamNumbers(*[np.nan] * 4)
    left, top, right, bottom = box
    window = (
        slice(max(top - _ROOM, 0), bottom + _ROOM),
        slice(max(left - _ROOM, 0), right + _ROOM),
    )
    inside, hole = pasted[window], filled[window]
    detail = _detail(image[..., 1].astype(np.float32))
    amount = _log_ratio(detail[segment], detail[~(segment | touched)])
    patch = np.nan
    if filled.sum() > LEAST_FILLED * filled.size:
        ring = binary_dilation(hole, iterations=_RING) & ~hole
        if reference is not None:
            ring &= reference[window]
        # Pixels at the hole's edge mix with what is around it.
        core = binary_erosion(hole, iterations=1)
        patch = _log_ratio(detail[window][core], detail[window][ring])
    step, border = (_step(image[window], m) for m in (inside | hole, segment[window]))
    return SeamNumbers(step, border, amount, patch)


def _lab(colors: np.ndarray) -> np.ndarray:
    """LAB of colors, uint8 (..., 3)."""
    batch = torch.from_numpy(np.ascontiguousarray(colors.reshape(-1, 3).T))
    lab: np.ndarray = rgb_to_lab(batch[None, :, None].float() / 255)[0, :, 0].numpy()
    return lab.T.reshape(colors.shape)


def _detail(plane: np.ndarray) -> np.ndarray:
    """Absolute Laplacian of each pixel."""
    around = np.pad(plane, 1, mode="edge")
    neighbors = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
    return np.abs(4 * plane - neighbors)


def _log_ratio(inside: np.ndarray, outside: np.ndarray) -> float:
    if len(inside) < 8 or len(outside) < 8:
        return np.nan
    # One gray level is added so that flat drawings do not divide by zero.
    return float(np.log((inside.mean() + 1) / (outside.mean() + 1)))


def _step(image: np.ndarray, inside: np.ndarray) -> float:
    """LAB step across the outline over the steps on both sides of it."""
    found = []
    for axis in (0, 1):
        a, m = np.moveaxis(image, axis, 0), np.moveaxis(inside, axis, 0)
        count = len(a) - 3 * REACH
        if count <= 0:
            continue
        # Pixel pairs REACH apart with the outline between them, and the pairs before and after.
        first, last, before, after = (
            m[i : i + count] for i in (0, 3 * REACH, REACH + 1, REACH + 2)
        )
        rows, columns = np.nonzero((before != after) & (first == before) & (last == after))
        found.append(a[rows + REACH * np.arange(4)[:, None], columns])
    edge = np.concatenate(found, axis=1) if found else np.empty((4, 0, 3), np.uint8)
    if not edge.size:
        return np.nan
    steps = np.linalg.norm(np.diff(_lab(edge), axis=0), axis=-1)
    across, beside = float(steps[1].sum()), float((steps[0] + steps[2]).sum() / 2)
    return float(np.log((across + 1) / (beside + edge.shape[1] + 1)))


def real_border(image: np.ndarray, segment: np.ndarray) -> SeamNumbers:
    """The numbers of a real image where a paste of a segment would have had its outline.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
    segment : bool array (H, W)
    """
    numbers = seam_numbers(image, segment, np.zeros_like(segment), segment)
    # What a fill must resemble: the detail of two neighboring pieces of the segment's ring.
    ring = binary_dilation(segment, iterations=_RING) & ~segment
    box = bounding_box(ring)
    if box is None:
        return numbers
    left, _, right, _ = box
    half = np.zeros_like(ring)
    half[:, : (left + right - 1) // 2] = True
    detail = _detail(image[..., 1].astype(np.float32))
    return numbers._replace(filled=_log_ratio(detail[ring & half], detail[ring & ~half]))


def sample_seam(sample: Recombined, classes: Sequence[str]) -> SeamNumbers:
    """The numbers of a recombined sample; NaN where nothing was pasted.

    Parameters
    ----------
    sample : Recombined
    classes : sequence of str
        Classes of the moved segments.
    """
    nothing = np.zeros(sample.size, bool)
    pasted = nothing if sample.pasted is None else sample.pasted
    filled = nothing if sample.filled is None else sample.filled
    segment = union(sample.masks, classes)
    # A hole is filled with what is behind it: it must resemble its own classes beside it.
    size = int(filled.sum())
    own = [m for m in sample.masks.values() if size and (m & filled).sum() > OWN_SHARE * size]
    return seam_numbers(
        sample.image,
        pasted,
        filled,
        nothing if segment is None else segment,
        np.logical_or.reduce(own) if own else None,
    )
