"""Whether the words of a leaf find the same pixels in one image.

It costs no pass through a network: every word's pixels are there already. They are kept coarse, so
that a thousand words need little memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

#: Longest side of the pixels that are compared.
_SIDE = 128


class WordAgreement:
    """What each word of an image found, for leaves that have several.

    Parameters
    ----------
    leaf_of : sequence of int
        The leaf of each word.
    """

    def __init__(self, leaf_of: Sequence[int]) -> None:
        self._leaf_of = leaf_of
        self._words = Counter(leaf_of)
        self._found: dict[int, list[np.ndarray]] = {}

    def add(self, word: int, claimed: torch.Tensor) -> None:
        """Takes the pixels of a word that found something.

        Parameters
        ----------
        word : int
            Position among all words; each is added once at most.
        claimed : Tensor of bool, shape (height, width)
        """
        leaf = self._leaf_of[word]
        if self._words[leaf] > 1:
            step = max(1, -(-max(claimed.shape) // _SIDE))
            coarse = claimed[::step, ::step]
            self._found.setdefault(leaf, []).append(coarse.cpu().numpy().ravel())

    def by_leaf(self) -> dict[int, float]:
        """Mean IoU over the pairs of words of which at least one found something, 0 to 1.

        A word that found nothing agrees with none that did. Leaves of one word, and leaves that
        none of their words found, are left out.
        """
        return {
            leaf: _mean_iou(np.array(found, np.float32), self._words[leaf])
            for leaf, found in sorted(self._found.items())
        }


def _mean_iou(found: np.ndarray, words: int) -> float:
    shared = found @ found.T
    area = np.diagonal(shared)
    union = area[:, None] + area - shared
    first, second = np.triu_indices(len(found), 1)
    # What is smaller than the grid may be in none of its points: no pixels are no agreement.
    some = union[first, second] > 0
    total = float((shared[first, second][some] / union[first, second][some]).sum())
    silent = words - len(found)
    pairs = len(first) + len(found) * silent
    return total / pairs
