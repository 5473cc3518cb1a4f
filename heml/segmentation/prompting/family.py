"""What a family of checkpoints is: networks that find what words name, by one protocol.

Some families give masks at once, others boxes, from which a second checkpoint makes masks. A family
is known by the `model_type` in a checkpoint's config.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch

from heml.parts.registry import Registry
from heml.segmentation.prompting.checkpoint import PromptCheckpoint

#: Larger images are worked on at this many pixels, and segments enlarged from there.
MOST_PIXELS = 1 << 20


class Found(NamedTuple):
    """What one prompt finds in one image.

    Parameters
    ----------
    image, prompt : int
        Positions among the images and prompts that were asked for.
    scores : Tensor of float32, shape `working_size` of the image
        Score of each pixel in [0, 1].
    """

    image: int
    prompt: int
    scores: torch.Tensor


class Boxes(NamedTuple):
    """Boxes found in one image.

    Parameters
    ----------
    corners : Tensor of float32, shape (n, 4)
        Left, top, right and bottom in pixels of the image.
    scores : Tensor of float32, shape (n,)
        In [0, 1].
    prompts : Tensor of int64, shape (n,)
        Position of the prompt that each belongs to.
    """

    corners: torch.Tensor
    scores: torch.Tensor
    prompts: torch.Tensor


class Finder(Protocol):
    """A network that finds the pixels of what words name."""

    def find(
        self, images: Sequence[np.ndarray], prompts: Sequence[str], threshold: float
    ) -> Iterator[Found]:
        """What the prompts find, in any order; nothing for a prompt that finds nothing.

        Parameters
        ----------
        images : sequence of ndarray of uint8, shape (height, width, 3)
            RGB, of any sizes.
        prompts : sequence of str
            Any number.
        threshold : float
            Scores from there on count.

        Raises
        ------
        CheckpointError
            If a prompt is longer than the network reads.
        """


class BoxFinder(Protocol):
    """A network that finds boxes around what words name."""

    def boxes(
        self, images: Sequence[np.ndarray], prompts: Sequence[str], threshold: float
    ) -> list[Boxes]:
        """Boxes of each image, of scores above the threshold; see `Finder.find`."""


class Masker(Protocol):
    """A network that makes masks of boxes."""

    def masks(self, image: np.ndarray, corners: torch.Tensor) -> Iterator[torch.Tensor]:
        """Masks in parts: bool tensors (boxes of the part, *working_size of the image), in order.

        Parameters
        ----------
        image : ndarray of uint8, shape (height, width, 3)
        corners : Tensor of float32, shape (n, 4)
            Left, top, right and bottom in pixels of the image.
        """


@dataclass(frozen=True)
class Family:
    """Checkpoints that find what words name.

    Parameters
    ----------
    name : str
    rank : int
    description : str
        One line for the documentation.
    model_types : tuple of str
        What config.json says of them.
    threshold : float
        Scores from there on count, where the recipe says nothing: what the family's own code does.
    load : callable
        From a checkpoint and a device to the network.
    gives_boxes : bool
        Whether it is a `BoxFinder`, and a second checkpoint must make masks; a `Finder` otherwise.
    """

    name: str
    rank: int
    description: str
    model_types: tuple[str, ...]
    threshold: float
    load: Callable[[PromptCheckpoint, torch.device], Finder | BoxFinder]
    gives_boxes: bool = False


@dataclass(frozen=True)
class MaskerFamily:
    """Checkpoints that make masks of boxes; see `Family`."""

    name: str
    rank: int
    description: str
    model_types: tuple[str, ...]
    load: Callable[[PromptCheckpoint, torch.device], Masker]


FAMILIES: Registry[Family] = Registry(
    "prompt family", "heml.segmentation.prompting.families", "heml.prompt_families"
)
"""Families that find what words name: one module each, registered under the module's name."""

MASKERS: Registry[MaskerFamily] = Registry(
    "masker", "heml.segmentation.prompting.maskers", "heml.maskers"
)
"""Families that make masks of boxes, likewise."""


def working_size(image: np.ndarray) -> tuple[int, int]:
    """Height and width of scores and masks of an image: its own, less for very large ones."""
    height, width = image.shape[:2]
    shrink = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    return max(1, round(height * shrink)), max(1, round(width * shrink))
