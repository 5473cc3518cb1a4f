"""Grounding DINO: boxes around what words name; a second checkpoint makes masks of them.

Liu et al., "Grounding DINO: Marrying DINO with Grounded Pre-Training for Open-Set Object
Detection", ECCV 2024; with SAM 2, "Grounded SAM" (Ren et al. 2024, arXiv 2401.14159).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from heml.compute.checkpoints import CheckpointError
from heml.compute.device import mixed_precision
from heml.segmentation.prompting.batches import same_size_batches
from heml.segmentation.prompting.checkpoint import PromptCheckpoint
from heml.segmentation.prompting.family import FAMILIES, Boxes, Family


class GroundingDino:
    """Prompts become one caption, "bird. beak of the bird.", or several where one is too long.

    The score of a prompt is the best of its own tokens, as the library's is the best of all.

    Parameters
    ----------
    checkpoint : PromptCheckpoint
    device : torch.device
    """

    def __init__(self, checkpoint: PromptCheckpoint, device: torch.device) -> None:
        from transformers import AutoModelForZeroShotObjectDetection

        self._model = checkpoint.model(AutoModelForZeroShotObjectDetection).to(device)
        self._pixels, self._tokenizer = checkpoint.pixels(), checkpoint.tokenizer()
        self._device = device
        self._longest = self._model.config.max_text_len

    @torch.inference_mode()
    def boxes(
        self, images: Sequence[np.ndarray], prompts: Sequence[str], threshold: float
    ) -> list[Boxes]:
        found: list[list[Boxes]] = [[] for _ in images]
        captions = list(self._captions(prompts))
        for chosen, batch in same_size_batches(self._pixels, images, self._device):
            for first, text, places in captions:
                with mixed_precision(self._device):
                    said = self._model(
                        pixel_values=batch,
                        **{name: ids.expand(len(batch), -1) for name, ids in text.items()},
                    )
                # (image, query, prompt)
                scores = torch.stack(
                    [said.logits.float()[..., place].amax(-1) for place in places], -1
                ).sigmoid()
                for row, image in enumerate(chosen):
                    queries, which = (scores[row] > threshold).nonzero(as_tuple=True)
                    corners = _corners(said.pred_boxes[row].float()[queries], images[image])
                    found[image].append(Boxes(corners, scores[row][queries, which], which + first))
        return [Boxes(*map(torch.cat, zip(*parts, strict=True))) for parts in found]

    def _captions(
        self, prompts: Sequence[str]
    ) -> Iterator[tuple[int, dict[str, torch.Tensor], list[list[int]]]]:
        """Captions: position of the first prompt, tokens, and each prompt's places among them."""
        first, words = 0, [_plain(prompt) for prompt in prompts]
        while first < len(words):
            end = first + 1
            while end < len(words) and self._length(words[first : end + 1]) <= self._longest:
                end += 1
            if (length := self._length(words[first:end])) > self._longest:
                raise CheckpointError(
                    f"segmentation.prompts: '{prompts[first][:60]}' is {length} tokens long, and "
                    f"the checkpoint reads {self._longest}; write a shorter one"
                )
            yield first, *self._caption(words[first:end])
            first = end

    def _length(self, words: list[str]) -> int:
        return len(self._tokenizer(_joined(words))["input_ids"])

    def _caption(self, words: list[str]) -> tuple[dict[str, torch.Tensor], list[list[int]]]:
        encoded: Any = self._tokenizer(
            _joined(words),
            return_tensors="pt",
            return_token_type_ids=True,
            return_offsets_mapping=True,
        )
        spans = encoded.pop("offset_mapping")[0].tolist()
        places, start = [], 0
        for word in words:
            end = start + len(word)
            places.append([i for i, (a, b) in enumerate(spans) if a < b and start <= a < end])
            start = end + len(". ")
        return dict(encoded.to(self._device)), places


def _joined(words: list[str]) -> str:
    return ". ".join(words) + "."


def _plain(prompt: str) -> str:
    """A prompt as captions hold it: lower case, without the signs that end one."""
    return " ".join(prompt.lower().replace(".", " ").replace("?", " ").split())


def _corners(boxes: torch.Tensor, image: np.ndarray) -> torch.Tensor:
    """Left, top, right and bottom in pixels, from relative centers and sizes."""
    height, width = image.shape[:2]
    center, half = boxes[:, :2], boxes[:, 2:] / 2
    scale = boxes.new_tensor([width, height, width, height])
    return torch.cat([center - half, center + half], 1) * scale


FAMILIES.register(
    Family(
        name="grounding_dino",
        rank=1,
        description="Grounding DINO: boxes by words, masks by a second checkpoint",
        model_types=("grounding-dino", "mm-grounding-dino"),
        threshold=0.25,
        load=GroundingDino,
        gives_boxes=True,
    )
)
