"""Which images are in a batch: annotated ones, and a share of pseudo-labeled ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Examples:
    """Images with the classes of their pixels, annotated or guessed.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, height, width, 3)
    masks : ndarray of uint8, shape (n, height, width)
        Class indices, or `IGNORED`.

    Raises
    ------
    ValueError
        If there are not as many masks as images, or none at all.
    """

    images: np.ndarray
    masks: np.ndarray

    def __post_init__(self) -> None:
        if len(self.images) != len(self.masks):
            raise ValueError(f"{len(self.images)} images and {len(self.masks)} masks")
        if not len(self.images):
            raise ValueError("there is no image to learn from")

    def __len__(self) -> int:
        return len(self.images)


class Batches:
    """Batches without end.

    Of each kind all images are drawn once before one is drawn again.

    Parameters
    ----------
    annotated : Examples
    size : int
        Images per batch.
    seed : int
    pseudo_labeled : Examples, optional
    share : callable, optional
        From how much of the training is done, 0 to 1, to the share of pseudo-labeled images. What
        a batch cannot have in whole images, later ones get.
    """

    def __init__(
        self,
        annotated: Examples,
        size: int,
        seed: int,
        pseudo_labeled: Examples | None = None,
        share: Callable[[float], float] = lambda done: 0.0,
    ) -> None:
        draw = np.random.default_rng(seed)
        self._annotated = _Endless(annotated, draw)
        self._guessed = None if pseudo_labeled is None else _Endless(pseudo_labeled, draw)
        self._size, self._share, self._owed = size, share, 0.0

    def take(self, done: float) -> tuple[np.ndarray, np.ndarray]:
        """The next batch: images and masks, as `Examples` has them, annotated ones first.

        Parameters
        ----------
        done : float
            How much of the training is done, 0 to 1.
        """
        if self._guessed is None:
            return self._annotated.take(self._size)
        self._owed += self._share(done) * self._size
        guessed = min(self._size, int(self._owed + 1e-9))
        self._owed -= guessed
        parts = [self._annotated.take(self._size - guessed), self._guessed.take(guessed)]
        images, masks = zip(*parts, strict=True)
        return np.concatenate(images), np.concatenate(masks)


class _Endless:
    """Examples in random order, again and again."""

    def __init__(self, examples: Examples, draw: np.random.Generator) -> None:
        self._examples, self._draw = examples, draw
        self._order = np.empty(0, int)

    def take(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        while len(self._order) < size:
            permuted = self._draw.permutation(len(self._examples))
            self._order = np.concatenate([self._order, permuted])
        chosen, self._order = self._order[:size], self._order[size:]
        return self._examples.images[chosen], self._examples.masks[chosen]
