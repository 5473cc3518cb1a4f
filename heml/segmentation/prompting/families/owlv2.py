"""OWLv2 and OWL-ViT: boxes around what words name; a second checkpoint makes masks of them.

Minderer, Gritsenko, Houlsby, "Scaling Open-Vocabulary Object Detection", NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from heml.compute.batching import in_parts
from heml.compute.device import mixed_precision
from heml.segmentation.prompting.batches import same_size_batches
from heml.segmentation.prompting.checkpoint import PromptCheckpoint
from heml.segmentation.prompting.family import FAMILIES, Boxes, Family
from heml.segmentation.prompting.words import WordEmbeddings, tokens

#: Prompts that the boxes of an image are compared with together.
_TOGETHER = 256


class Owl:
    """Every patch proposes one box, which belongs to the prompt with the best score there.

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
        # OWLv2 pads images to a square, OWL-ViT stretches them
        self._square = self._model.config.model_type == "owlv2"
        self._longest = self._model.config.text_config.max_position_embeddings
        self._words = WordEmbeddings(self._embed)

    @torch.inference_mode()
    def boxes(
        self, images: Sequence[np.ndarray], prompts: Sequence[str], threshold: float
    ) -> list[Boxes]:
        words = self._words(prompts)
        found: dict[int, Boxes] = {}
        for chosen, batch in same_size_batches(self._pixels, images, self._device):
            with mixed_precision(self._device):
                seen = self._model.image_embedder(batch)[0]
                features = seen.flatten(1, 2)
                boxes = self._model.box_predictor(features, seen).float()
            for row, image in enumerate(chosen):
                logits, which = self._best(features[row : row + 1], words)
                scores = logits.sigmoid()
                kept = scores > threshold
                corners = self._corners(boxes[row][kept], images[image])
                found[image] = Boxes(corners, scores[kept], which[kept])
        return [found[image] for image in range(len(images))]

    def _best(
        self, features: torch.Tensor, words: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logit and position of each patch's best prompt."""
        best = features.new_full(features.shape[1:2], -torch.inf).float()
        which = torch.zeros_like(best, dtype=torch.long)
        for part in in_parts(range(len(words)), _TOGETHER):
            with mixed_precision(self._device):
                logits = self._model.class_predictor(features, words[part][None])[0]
            value, place = logits[0].float().max(-1)
            better = value > best
            best = torch.where(better, value, best)
            which = torch.where(better, place + part[0], which)
        return best, which

    def _corners(self, boxes: torch.Tensor, image: np.ndarray) -> torch.Tensor:
        height, width = image.shape[:2]
        if self._square:
            height = width = max(height, width)
        center, half = boxes[:, :2], boxes[:, 2:] / 2
        scale = boxes.new_tensor([width, height, width, height])
        return torch.cat([center - half, center + half], 1) * scale

    def _embed(self, prompts: list[str]) -> torch.Tensor:
        base = getattr(self._model, self._model.config.model_type)
        with mixed_precision(self._device):
            embedded = base.get_text_features(
                **tokens(self._tokenizer, prompts, self._longest).to(self._device)
            ).pooler_output
        return embedded / embedded.norm(dim=-1, keepdim=True)


FAMILIES.register(
    Family(
        name="owlv2",
        rank=3,
        description="OWLv2 and OWL-ViT: boxes by words, masks by a second checkpoint",
        model_types=("owlv2", "owlvit"),
        threshold=0.1,
        load=Owl,
        gives_boxes=True,
    )
)
