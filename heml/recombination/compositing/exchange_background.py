"""Background exchange: the host's foreground before the donor's scenery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from heml.images.bounding_box import bounding_box
from heml.metrics.views import union
from heml.recombination.imaging.grain import with_grain
from heml.recombination.imaging.gray import in_gray
from heml.recombination.imaging.masked import weights
from heml.recombination.imaging.matte import SOLID, Matte, segment_matte
from heml.recombination.imaging.patch_fill import fill_patches
from heml.recombination.imaging.pyramid import erode
from heml.recombination.imaging.scenery_placement import place_scenery
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.imaging.windows import Window, colors, cut, pixels, side_for, warp
from heml.taxonomy import Taxonomy

#: Opacity of the donor's foreground up to which a pixel counts as scenery, of 255.
CLEAR = 8
#: Key of a donor's picture without its foreground among what is known of it.
_PLATE = "plate"


@dataclass(frozen=True)
class Exchange:
    """One prepared edit.

    Parameters
    ----------
    host, donor : SegmentedImage
    front : Matte, optional
        The host's foreground; None if it has none.
    scenery : bool array (h, w)
        Where the donor shows its background and nothing else.
    classes : sequence of str
        Of the background.
    matrix : float array (2, 3)
        From donor to host pixels.
    """

    host: SegmentedImage
    donor: SegmentedImage
    front: Matte | None
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
    if union(host.masks, classes) is None or union(donor.masks, classes) is None:
        return None
    front, cast = (_foreground(image, classes) for image in (host, donor))
    scenery = np.ones(donor.size, bool) if cast is None else cast.alpha <= CLEAR
    if not scenery.any():
        return None
    matrix = place_scenery(
        host.size,
        donor.size,
        None if front is None else bounding_box(front.alpha >= SOLID),
        bounding_box(~scenery),
    )
    return Exchange(host, donor, front, scenery, classes, matrix)


def _foreground(image: SegmentedImage, background: Sequence[str]) -> Matte | None:
    """The matte of all that stands before the background."""
    return segment_matte(image, [name for name in image.masks if name not in background])


def exchange_background(edits: Sequence[Exchange], device: torch.device) -> list[Recombined]:
    """Recombined images of edits with one key."""
    tall, wide, donor_tall, donor_wide = edits[0].key
    piece = Window(0, 0, donor_tall, donor_wide)
    donor = colors([cut(_plate(e), piece) for e in edits], device)
    known = _planes([_inside(e.scenery, piece) for e in edits], device)
    matrices = np.stack([e.matrix for e in edits])
    warped, seen = warp(donor, weights(known), matrices, (tall, wide))
    warped = with_grain(warped, seen > 0.5, donor, known)
    # At the outline interpolation mixes what the donor shows with what was filled in.
    shown = erode(seen > 0.5, 1).squeeze(1).cpu().numpy()
    return [_recombined(*each) for each in zip(edits, pixels(warped), shown, strict=True)]


def _plate(edit: Exchange) -> np.ndarray:
    """The donor's picture without its foreground, filled once for all its hosts; in gray where the
    host is gray."""
    donor, scenery = edit.donor, edit.scenery
    plate = donor.once(
        (_PLATE, tuple(edit.classes)), lambda: fill_patches(donor.image, ~scenery, scenery)
    )
    return in_gray(plate) if edit.host.gray and not donor.gray else plate


def _recombined(edit: Exchange, scenery: np.ndarray, shown: np.ndarray) -> Recombined:
    """The scenery with the host's foreground before it."""
    height, width = edit.host.size
    scenery, shown = scenery[:height, :width], shown[:height, :width]
    front = edit.front
    if front is None:
        front = Matte(np.zeros((height, width), np.uint8), edit.host.image)
    kept = front.alpha >= SOLID
    opacity = front.alpha[..., None].astype(np.float32) / 255
    mixed = scenery + opacity * (front.color.astype(np.float32) - scenery)
    return Recombined(
        mixed.round().astype(np.uint8),
        _masks(edit, kept),
        pasted=~kept,
        filled=~kept & ~shown,
    )


def _masks(edit: Exchange, kept: np.ndarray) -> dict[str, np.ndarray]:
    """The host's segments as the matte has them: scenery up to the foreground's soft outline."""
    host = edit.host
    background = next(name for name in edit.classes if name in host.masks)
    masks = {n: m & kept for n, m in host.masks.items() if n not in edit.classes}
    masks[background] = ~kept
    bare = kept & ~np.logical_or.reduce(list(masks.values()))
    if masks.keys() - {background} and bare.any():
        # What the matte adds to the foreground belongs to the segment next to it.
        names = [name for name in masks if name != background]
        labels = np.zeros(host.size, np.int16)
        for number, name in enumerate(names, start=1):
            labels[masks[name]] = number
        if labels.any():
            _, nearest = distance_transform_edt(labels == 0, return_indices=True)
            labels[bare] = labels[tuple(axis[bare] for axis in nearest)]
            masks |= {n: labels == k for k, n in enumerate(names, start=1)}
    return {name: mask for name, mask in masks.items() if mask.any()}


def _planes(masks: Sequence[np.ndarray], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(masks)).to(device)[:, None]


def _inside(mask: np.ndarray, window: Window) -> np.ndarray:
    """A window of a mask, False beyond its border."""
    result = np.zeros((window.height, window.width), bool)
    result[: mask.shape[0], : mask.shape[1]] = mask
    return result
