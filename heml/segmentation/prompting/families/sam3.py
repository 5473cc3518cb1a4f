"""SAM 3: instances of what words name, with masks, and whether there are any at all.

Meta, "SAM 3: Segment Anything with Concepts", 2025, arXiv 2511.16719.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn.functional import interpolate

from heml.compute.batching import in_parts
from heml.compute.device import mixed_precision
from heml.segmentation.prompting.batches import same_size_batches
from heml.segmentation.prompting.checkpoint import PromptCheckpoint
from heml.segmentation.prompting.family import FAMILIES, Family, Found, working_size
from heml.segmentation.prompting.words import WordEmbeddings, tokens

#: Prompts that an image is decoded for together; masks that are enlarged together.
_TOGETHER, _MASKS = 4, 16
#: Mask probability from which a pixel is an instance's.
_INSIDE = 0.5


class Sam3:
    """The image and the words are encoded once, detector and mask head run for every prompt.

    Parameters
    ----------
    checkpoint : PromptCheckpoint
    device : torch.device
    """

    def __init__(self, checkpoint: PromptCheckpoint, device: torch.device) -> None:
        # transformers offers it with torchvision only, which it needs for boxes as prompts alone
        from transformers.models.sam3.modeling_sam3 import Sam3Model

        self._model = checkpoint.model(Sam3Model).to(device)
        self._pixels, self._tokenizer = checkpoint.square_pixels(), checkpoint.tokenizer()
        self._device = device
        self._longest = self._model.config.text_config.max_position_embeddings
        self._words = WordEmbeddings(self._embed)
        self._masks = WordEmbeddings(lambda prompts: self._tokens(prompts)["attention_mask"])

    @torch.inference_mode()
    def find(
        self, images: Sequence[np.ndarray], prompts: Sequence[str], threshold: float
    ) -> Iterator[Found]:
        words, attended = self._words(prompts), self._masks(prompts).long()
        for chosen, batch in same_size_batches(self._pixels, images, self._device):
            with mixed_precision(self._device):
                seen = self._model.get_vision_features(batch)
            for row, image in enumerate(chosen):
                size = working_size(images[image])
                for part in in_parts(range(len(prompts)), _TOGETHER):
                    with mixed_precision(self._device):
                        found = self._model(
                            vision_embeds=_repeated(seen, row, len(part)),
                            text_embeds=_Text(words[part]),
                            attention_mask=attended[part],
                        )
                    there = found.presence_logits.float().sigmoid()
                    scores = found.pred_logits.float().sigmoid() * there
                    for prompt, score, masks in zip(part, scores, found.pred_masks, strict=True):
                        kept = score > threshold
                        if kept.any():
                            union = _union(masks[kept].float().sigmoid(), score[kept], size)
                            yield Found(image, prompt, union)

    def _tokens(self, prompts: list[str]) -> dict[str, torch.Tensor]:
        found = tokens(self._tokenizer, prompts, self._longest).to(self._device)
        return {name: found[name] for name in ("input_ids", "attention_mask")}

    def _embed(self, prompts: list[str]) -> torch.Tensor:
        with mixed_precision(self._device):
            return self._model.get_text_features(**self._tokens(prompts)).pooler_output


class _Text:
    """What the model takes for embedded words."""

    def __init__(self, embedded: torch.Tensor) -> None:
        self.pooler_output = embedded


def _repeated(seen: object, row: int, times: int) -> object:
    """The encoded image of one row, for several prompts."""
    from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

    def again(levels: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        # positions are those of any image, and may be there once
        chosen = (level[row if len(level) > row else 0] for level in levels)
        return tuple(level.expand(times, *level.shape) for level in chosen)

    return Sam3VisionEncoderOutput(
        fpn_hidden_states=again(seen.fpn_hidden_states),  # type: ignore[attr-defined]
        fpn_position_encoding=again(seen.fpn_position_encoding),  # type: ignore[attr-defined]
    )


def _union(masks: torch.Tensor, scores: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Score of the best instance at each pixel, 0 where none is."""
    best = torch.zeros(size, device=masks.device)
    for part in in_parts(range(len(masks)), _MASKS):
        large = interpolate(masks[part][None], size=size, mode="bilinear", align_corners=False)[0]
        best = torch.maximum(best, ((large > _INSIDE) * scores[part, None, None]).amax(0))
    return best


FAMILIES.register(
    Family(
        name="sam3",
        rank=0,
        description="SAM 3: instances by words, with masks",
        model_types=("sam3", "sam3_video"),
        threshold=0.3,
        load=Sam3,
    )
)
