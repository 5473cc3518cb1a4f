"""Background exchange: the host's foreground before the donor's scenery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from heml.images.bounding_box import bounding_box
from heml.metrics.views import union
from heml.recombination.imaging.fill import fill_scenery
from heml.recombination.imaging.masked import weights
from heml.recombination.imaging.pyramid import binomial_blur_mask, erode
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.imaging.windows import Window, colors, cut, pixels, side_for, warp
from heml.taxonomy import Taxonomy

#: Width of the band around the donor's outline that does not count as scenery, as a share of the
#: shorter side.
RIM = 0.02
#: Scenery is enlarged by at most this factor to bring the hole that the donor leaves behind the
#: host's foreground.
MOST_ENLARGED = 1.25


@dataclass(frozen=True)
class Exchange:
    """One prepared edit.

    Parameters
    ----------
    host, donor : SegmentedImage
    front : bool array (H, W)
        The host's foreground.
    scenery : bool array (h, w)
        The donor's background.
    classes : sequence of str
        Of the background.
    matrix : float array (2, 3)
        From donor to host pixels.
    """

    host: SegmentedImage
    donor: SegmentedImage
    front: np.ndarray
    scenery: np.ndarray
    classes: Sequence[str]
    matrix: np.ndarray

    @property
    def key(self) -> tuple[int, ...]:
        return tuple(side_for(s) for s in (*self.host.size, *self.donor.size))


def prepare(
    host: SegmentedImage, donor: SegmentedImage, nodes: Sequence[str], taxonomy: Taxonomy
) -> Exchange | None:
    """Where the donor's scenery comes to lie; None if one of the two has no background."""
    classes = [c for node in nodes for c in taxonomy.classes_of(node)]
    behind, scenery = union(host.masks, classes), union(donor.masks, classes)
    if behind is None or scenery is None:
        return None
    front = ~behind
    (height, width), (tall, wide) = host.size, donor.size
    cover = max(height / tall, width / wide)
    hole, cast = bounding_box(~scenery), bounding_box(front)
    middle = np.array([width / 2, height / 2])
    # The donor's foreground is moved behind the host's; without one, the scenery stays centered.
    start = np.array([wide / 2, tall / 2]) if hole is None else _center(hole)
    end = middle if cast is None else _center(cast)
    # Enlarged just enough that the scenery still reaches every border.
    room = np.array([start, [wide, tall] - start])
    asked = np.array([end, [width, height] - end])
    needed = float((asked / np.maximum(room, 1)).max())
    scale = min(max(cover, needed), cover * MOST_ENLARGED)
    shift = end - scale * start
    shift = np.clip(shift, [width - scale * wide, height - scale * tall], 0)
    matrix = np.column_stack([scale * np.eye(2), shift])
    return Exchange(host, donor, front, scenery, classes, matrix)


def _center(box: tuple[int, int, int, int]) -> np.ndarray:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])


def exchange_background(edits: Sequence[Exchange], device: torch.device) -> list[Recombined]:
    """Recombined images of edits with one key."""
    tall, wide, donor_tall, donor_wide = edits[0].key
    whole, piece = Window(0, 0, tall, wide), Window(0, 0, donor_tall, donor_wide)
    host = colors([cut(e.host.image, whole) for e in edits], device)
    front = _planes([cut(e.front, whole) for e in edits], device)
    donor = colors([cut(e.donor.image, piece) for e in edits], device)
    known = _planes([_inside(e.scenery, piece) for e in edits], device)
    matrices = np.stack([e.matrix for e in edits])
    # Annotated outlines are imprecise: pixels beside the donor may still belong to it.
    trusted = weights(erode(known, max(round(RIM * min(donor_tall, donor_wide)), 2)))
    warped, seen = warp(donor, trusted, matrices, (tall, wide))
    # Interpolation mixes both sides at the outline.
    seen = erode(seen > 0.5, 1)
    # Real outlines are sharp: only the pixel where both sides mix is left out.
    kept = erode(front, 1)
    scenery = fill_scenery(warped, seen, seen.new_ones(len(edits), 1, 1, 1), ~erode(kept, 1))
    result = pixels(torch.lerp(scenery, host, binomial_blur_mask(kept)))
    planes_of = (plane.squeeze(1).cpu().numpy() for plane in (kept, seen))
    return [_recombined(*each) for each in zip(edits, result, *planes_of, strict=True)]


def _recombined(
    edit: Exchange, image: np.ndarray, kept: np.ndarray, seen: np.ndarray
) -> Recombined:
    """The scenery with the host's foreground, less its outline, which is scenery now."""
    height, width = edit.host.size
    kept, seen = kept[:height, :width], seen[:height, :width]
    masks = {n: m if n in edit.classes else m & kept for n, m in edit.host.masks.items()}
    first = next(n for n in edit.classes if n in masks)
    masks[first] = masks[first] | (edit.front & ~kept)
    return Recombined(
        image[:height, :width].copy(),
        {name: mask for name, mask in masks.items() if mask.any()},
        pasted=~kept,
        filled=~kept & ~seen,
    )


def _planes(masks: Sequence[np.ndarray], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(masks)).to(device)[:, None]


def _inside(mask: np.ndarray, window: Window) -> np.ndarray:
    """A window of a mask, False beyond its border."""
    result = np.zeros((window.height, window.width), bool)
    result[: mask.shape[0], : mask.shape[1]] = mask
    return result
