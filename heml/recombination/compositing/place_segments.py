"""Where a donor's segments come to lie in the host: the windows and the transform between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heml.recombination.compositing.align import align_donor
from heml.recombination.edit import Edit
from heml.recombination.imaging.matte import Matte, segment_matte
from heml.recombination.imaging.segmented_image import Box, SegmentedImage
from heml.recombination.imaging.windows import PIECE_SIDES, Window, window_around
from heml.taxonomy import Taxonomy

#: Room around the touched region, in pixels and as a share of its longer side: the light is
#: compared there.
MARGIN, MARGIN_SHARE = 12, 0.12


@dataclass(frozen=True)
class Transplant:
    """One prepared edit: its window in the host, the donor's piece and the transform between them.

    Parameters
    ----------
    host, donor : SegmentedImage
    moved, protected : sequence of int
        Indices of classes.
    window, piece : Window
        Of the host and of the donor.
    matrix : float array (2, 3)
        From pixels of the piece to pixels of the window.
    new, old : Matte, optional
        Of the moved classes in donor and host; None where there are none, or none are taken.
    removes : bool
        Nothing of the moved classes is taken from the donor, but what its image shows in their
        place.
    """

    host: SegmentedImage
    donor: SegmentedImage
    moved: Sequence[int]
    protected: Sequence[int]
    window: Window
    piece: Window
    matrix: np.ndarray
    new: Matte | None = None
    old: Matte | None = None
    removes: bool = False

    @property
    def key(self) -> tuple[int, ...]:
        """Edits of one key can share a batch."""
        return (*self.window[2:], *self.piece[2:])


def prepare_edit(edit: Edit, taxonomy: Taxonomy, removes: bool = False) -> Transplant | None:
    """As `prepare`, of an edit."""
    return prepare(edit.host, edit.donor, edit.nodes, taxonomy, edit.protected, removes)


def prepare(
    host: SegmentedImage,
    donor: SegmentedImage,
    nodes: Sequence[str],
    taxonomy: Taxonomy,
    protected: Sequence[str],
    removes: bool = False,
) -> Transplant | None:
    """Plans where the donor's segments come to lie; None if there is nothing to move."""
    names = taxonomy.class_names
    moved = [names.index(c) for node in nodes for c in taxonomy.classes_of(node)]
    kept = [names.index(c) for node in protected for c in taxonomy.classes_of(node)]
    classes = [names[m] for m in moved]
    old = host.place(classes)
    new = None if removes else donor.place(classes)
    matrix = align_donor(taxonomy, nodes, host, donor)
    boxes: list[tuple[float, ...]] = [old.box] if old else []
    if new:
        height, width = host.size
        left, top, right, bottom = _mapped(new.box, matrix)
        box = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
        if box[0] < box[2] and box[1] < box[3]:
            boxes.append(box)
    if not boxes:
        return None
    low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    room = MARGIN + MARGIN_SHARE * float((high - low).max())
    height, width = host.size
    left, top = np.maximum(low - room, 0)
    right, bottom = np.minimum(high + room, [width, height])
    window = window_around((left, top, right, bottom), host.size)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    corners = (window.x, window.y, window.x + window.width, window.y + window.height)
    needed = _mapped(corners, inverse)
    height, width = donor.size
    clipped = (
        min(max(needed[0] - 2, 0), width - 1),
        min(max(needed[1] - 2, 0), height - 1),
        max(min(needed[2] + 2, width), 1),
        max(min(needed[3] + 2, height), 1),
    )
    piece = window_around(clipped, donor.size, PIECE_SIDES)
    local = matrix.copy()
    local[:, 2] += matrix[:, :2] @ [piece.x, piece.y] - [window.x, window.y]
    mattes = (
        segment_matte(donor, classes) if new else None,
        segment_matte(host, classes) if old else None,
    )
    return Transplant(host, donor, moved, kept, window, piece, local, *mattes, removes)


def _mapped(box: Sequence[float] | Box, matrix: np.ndarray) -> tuple[float, float, float, float]:
    """Box around a transformed box."""
    left, top, right, bottom = box
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]])
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    (x0, y0), (x1, y1) = moved.min(axis=0), moved.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)
