"""Captions of images, by a checkpoint that turns images into text.

Used once, when a recipe is drafted: its words are proposals for a person to read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heml.compute.batching import in_parts
from heml.compute.checkpoints import CheckpointError, checkpoint_licence
from heml.compute.device import choose_device, mixed_precision
from heml.segmentation.prompting.checkpoint import (
    PromptCheckpoint,
    find_prompt_checkpoint,
    model_type,
)

#: What config.json says of checkpoints that write a caption without being asked a question.
CAPTIONERS = ("blip", "git", "vision-encoder-decoder")
#: Tokens of a caption, and images that are captioned together.
_LONGEST, _TOGETHER = 32, 8


class Captioner:
    """BLIP, GIT or an image encoder with a text decoder, such as ViT-GPT2.

    Parameters
    ----------
    checkpoint : PromptCheckpoint
    device : str, default "auto"
        auto, cpu, cuda or mps.

    Raises
    ------
    CheckpointError
        If it is of another kind, lacks weights of the network, or has no safetensors.
    """

    def __init__(self, checkpoint: PromptCheckpoint, device: str = "auto") -> None:
        from transformers import AutoModelForImageTextToText

        kind = model_type(checkpoint)
        if kind not in CAPTIONERS:
            raise CheckpointError(
                f"checkpoint {checkpoint.place}: '{kind}' writes no captions; name one of "
                f"{', '.join(CAPTIONERS)}"
            )
        self.name, self.licence = checkpoint.name, checkpoint_licence(checkpoint.place)
        self._device = choose_device(device)
        self._pixels = checkpoint.pixels()
        self._tokenizer = checkpoint.tokenizer()
        self._model = checkpoint.whole_model(AutoModelForImageTextToText).to(self._device)

    def captions(self, images: Sequence[np.ndarray]) -> Iterator[str]:
        """A caption of each image, by greedy search unless its own configuration has beams.

        Parameters
        ----------
        images : sequence of ndarray of uint8, shape (height, width, 3)
            RGB, of any sizes.
        """
        for part in in_parts(images, _TOGETHER):
            yield from self._batch(part)

    @torch.inference_mode()
    def _batch(self, images: Sequence[np.ndarray]) -> list[str]:
        inputs = self._pixels(images=list(images), return_tensors="pt")["pixel_values"]
        with mixed_precision(self._device):
            tokens: Any = self._model.generate(
                pixel_values=inputs.to(self._device), max_new_tokens=_LONGEST, do_sample=False
            )
        texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


def load_captioner(checkpoint: str, base: Path, device: str = "auto") -> Captioner:
    """The captioner in a folder, or of a name on the Hub; see `Captioner`.

    Parameters
    ----------
    checkpoint : str
    base : pathlib.Path
        Where a relative path starts.
    device : str, default "auto"
    """
    return Captioner(find_prompt_checkpoint(checkpoint, base), device)
