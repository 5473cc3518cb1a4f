"""One leaf for every pixel where several prompts found it: parts before wholes.

Of leaves that found nearly the same pixels, one keeps them: the surest. Otherwise the leaf that
lies deeper in the taxonomy's tree is seen before the others, of two in one depth the smaller one in
this image, then the surer one, then the one that the recipe names first. What nobody found is the
rest's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heml.segmentation.iou import IGNORED

#: Segments whose intersection is at least this share of their union are the same pixels.
SAME = 0.9


@dataclass(frozen=True)
class LeafScores:
    """What one leaf found.

    Parameters
    ----------
    leaf : int
        Its index.
    scores : ndarray of float32, shape (height, width)
        In [0, 1].
    claimed : ndarray of bool, shape (height, width)
        Where the score counts.
    """

    leaf: int
    scores: np.ndarray
    claimed: np.ndarray

    @property
    def area(self) -> int:
        """Pixels."""
        return int(self.claimed.sum())

    @property
    def confidence(self) -> float:
        """Mean score where it counts."""
        return float(self.scores[self.claimed].mean())


def same_pixels(found: Sequence[LeafScores]) -> list[tuple[int, int]]:
    """Pairs of leaves that found nearly the same pixels, the one that gives way second.

    Parameters
    ----------
    found : sequence of LeafScores
        Each claims at least one pixel.
    """
    surest = sorted(found, key=lambda leaf: (-leaf.confidence, leaf.leaf))
    gone: set[int] = set()
    pairs = []
    for place, one in enumerate(surest):
        for other in surest[place + 1 :]:
            if {one.leaf, other.leaf} & gone or min(one.area, other.area) < SAME * max(
                one.area, other.area
            ):
                continue
            shared = int((one.claimed & other.claimed).sum())
            if shared >= SAME * (one.area + other.area - shared):
                gone.add(other.leaf)
                pairs.append((one.leaf, other.leaf))
    return pairs


def assign(
    found: Sequence[LeafScores],
    depths: Sequence[int],
    size: tuple[int, int],
    rest: int | None = None,
    highest: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[int, float]]:
    """The leaf of every pixel, and the confidence of each.

    Parameters
    ----------
    found : sequence of LeafScores
        Each claims at least one pixel.
    depths : sequence of int
        Depth of each leaf in the tree; the root's is 0.
    size : (int, int)
        Height and width.
    rest : int, optional
        Leaf of pixels that no other claims.
    highest : ndarray of float32, shape (height, width), optional
        Highest score that any prompt gave each pixel, whether or not it counts. Default: of those
        found.

    Returns
    -------
    ndarray of uint8, shape (height, width)
        Indices of leaves, 255 where none is.
    dict of int to float
        Mean score of each present leaf over the pixels that it keeps; the rest's is 1 less the
        highest score that a prompt gave there.
    """
    gone = {second for _, second in same_pixels(found)}
    shown = sorted(
        (leaf for leaf in found if leaf.leaf not in gone),
        key=lambda leaf: (-depths[leaf.leaf], leaf.area, -leaf.confidence, leaf.leaf),
    )
    ids = np.full(size, IGNORED if rest is None else rest, np.uint8)
    scores = np.zeros(size, np.float32)
    if rest is not None:
        scores = 1 - (np.zeros(size, np.float32) if highest is None else highest)
    for leaf in reversed(shown):
        ids[leaf.claimed] = leaf.leaf
        scores[leaf.claimed] = leaf.scores[leaf.claimed]
    present = [i for i in np.unique(ids).tolist() if i != IGNORED]
    return ids, {i: float(scores[ids == i].mean(dtype=np.float64)) for i in present}
