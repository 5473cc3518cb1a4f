"""CLIPSeg: a score for every pixel from CLIP's image and text encoders.

Lüddecke, Ecker, "Image Segmentation Using Text and Image Prompts", CVPR 2022.
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

#: Prompts that an image is decoded for together.
_TOGETHER = 16


class ClipSeg:
    """The image goes through CLIP once, the decoder once for every prompt.

    Parameters
    ----------
    checkpoint : PromptCheckpoint
    device : torch.device
    """

    def __init__(self, checkpoint: PromptCheckpoint, device: torch.device) -> None:
        from transformers import CLIPSegForImageSegmentation

        self._model = checkpoint.model(CLIPSegForImageSegmentation).to(device)
        self._pixels, self._tokenizer = checkpoint.pixels(), checkpoint.tokenizer()
        self._device = device
        self._longest = self._model.config.text_config.max_position_embeddings
        self._words = WordEmbeddings(self._embed)

    @torch.inference_mode()
    def find(
        self, images: Sequence[np.ndarray], prompts: Sequence[str], threshold: float
    ) -> Iterator[Found]:
        words = self._words(prompts)
        layers = self._model.config.extract_layers
        for chosen, batch in same_size_batches(self._pixels, images, self._device):
            with mixed_precision(self._device):
                seen = self._model.clip.vision_model(
                    batch, output_hidden_states=True, interpolate_pos_encoding=True
                ).hidden_states
            for row, image in enumerate(chosen):
                size = working_size(images[image])
                activations = [seen[layer + 1][row] for layer in layers]
                for part in in_parts(range(len(prompts)), _TOGETHER):
                    with mixed_precision(self._device):
                        logits = self._model.decoder(
                            [a.expand(len(part), *a.shape) for a in activations], words[part]
                        ).logits
                    scores = logits.float().sigmoid()[:, None]
                    large = interpolate(scores, size=size, mode="bilinear", align_corners=False)
                    for prompt, each in zip(part, large[:, 0], strict=True):
                        yield Found(image, prompt, each)

    def _embed(self, prompts: list[str]) -> torch.Tensor:
        with mixed_precision(self._device):
            return self._model.clip.get_text_features(
                **tokens(self._tokenizer, prompts, self._longest).to(self._device)
            ).pooler_output


FAMILIES.register(
    Family(
        name="clipseg",
        rank=2,
        description="CLIPSeg: pixels by words; small, coarse borders",
        model_types=("clipseg",),
        threshold=0.5,
        load=ClipSeg,
    )
)
