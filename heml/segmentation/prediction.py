"""What a segmenter finds in an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """Segments of one image.

    Parameters
    ----------
    ids : ndarray of uint8, shape (height, width)
        Index of the leaf, 255 where none is.
    confidence : dict of int to float
        Index → mean probability over its pixels, for present leaves.
    word_agreement : dict of int to float
        Index → mean IoU of the pixels that each two of its words find, for leaves with several
        words of which one finds something. Empty where words find nothing.
    """

    ids: np.ndarray
    confidence: dict[int, float]
    word_agreement: dict[int, float] = field(default_factory=dict)


class Predictor(Protocol):
    """What finds segments: a network, or anything else that maps pixels to leaves.

    Attributes
    ----------
    name : str
        Written into every row.
    licence : str or None
    leaves : list of str
        Their order gives the indices of predictions.
    accelerated : bool
        Whether it works on another device than the processor: one batch at a time then.
    """

    @property
    def name(self) -> str: ...

    @property
    def licence(self) -> str | None: ...

    @property
    def leaves(self) -> list[str]: ...

    @property
    def accelerated(self) -> bool: ...

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Segments of RGB images, uint8 (height, width, 3), of any sizes."""
