"""Images of one prepared size go through a network together, others by themselves.

What an image gets never depends on which others are beside it: nothing is padded to a common size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch


def same_size_batches(
    pixels: Any, images: Sequence[np.ndarray], device: torch.device
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Positions of the images of each prepared size, and their pixel values.

    Parameters
    ----------
    pixels : transformers image processor
    images : sequence of ndarray of uint8, shape (height, width, 3)
    device : torch.device

    Yields
    ------
    list of int
    Tensor of float32, shape (number, 3, height, width)
    """
    inputs = [prepared(pixels, image)["pixel_values"] for image in images]
    for shape in dict.fromkeys(tuple(x.shape) for x in inputs):
        chosen = [i for i, x in enumerate(inputs) if tuple(x.shape) == shape]
        yield chosen, torch.cat([inputs[i] for i in chosen]).to(device)


def prepared(pixels: Any, image: np.ndarray) -> Any:
    """What an image processor makes of one RGB image; also of one of few pixels, whose channels
    it could not tell from rows otherwise."""
    return pixels(images=[image], return_tensors="pt", input_data_format="channels_last")
