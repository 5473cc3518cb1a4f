"""Where a donor's scenery comes to lie behind a host's foreground."""

from __future__ import annotations

import numpy as np

from heml.recombination.imaging.segmented_image import Box

#: Scenery is enlarged by at most this factor to bring the hole that the donor leaves behind the
#: host's foreground.
MOST_ENLARGED = 1.25


def place_scenery(
    host_size: tuple[int, int],
    donor_size: tuple[int, int],
    cast: Box | None,
    hole: Box | None,
) -> np.ndarray:
    """The transform that brings a donor's picture behind a host's foreground.

    The donor's foreground is moved behind the host's, as far as the scenery still reaches every
    border. Without a foreground of its own, the scenery stays centered.

    Parameters
    ----------
    host_size, donor_size : tuple of int
        Height and width in pixels.
    cast, hole : tuple of int, optional
        Boxes of the foreground in host and donor; None if there is none.

    Returns
    -------
    float array (2, 3)
        From donor (x, y) to host (x, y): scale and shift.
    """
    (height, width), (tall, wide) = host_size, donor_size
    cover = max(height / tall, width / wide)
    start = np.array([wide / 2, tall / 2]) if hole is None else _center(hole)
    end = np.array([width / 2, height / 2]) if cast is None else _center(cast)
    # Enlarged just enough that the scenery still reaches every border.
    room = np.array([start, [wide, tall] - start])
    asked = np.array([end, [width, height] - end])
    needed = float((asked / np.maximum(room, 1)).max())
    scale = min(max(cover, needed), cover * MOST_ENLARGED)
    shift = end - scale * start
    shift = np.clip(shift, [width - scale * wide, height - scale * tall], 0)
    if scale == 1:
        shift = np.round(shift)  # no pixel has to be interpolated
    return np.column_stack([scale * np.eye(2), shift])


def _center(box: Box) -> np.ndarray:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
