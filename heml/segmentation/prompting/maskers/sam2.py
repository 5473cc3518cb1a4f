"""SAM 2: masks of boxes. Ravi et al., "SAM 2: Segment Anything in Images and Videos", ICLR 2025."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import interpolate

from heml.compute.batching import in_parts
from heml.compute.device import mixed_precision
from heml.segmentation.prompting.batches import prepared
from heml.segmentation.prompting.checkpoint import PromptCheckpoint
from heml.segmentation.prompting.family import MASKERS, MaskerFamily, working_size

#: Boxes whose masks are made together.
_TOGETHER = 16


class Sam2:
    """The image is encoded once, the mask decoder runs for every box.

    Parameters
    ----------
    checkpoint : PromptCheckpoint
    device : torch.device
    """

    def __init__(self, checkpoint: PromptCheckpoint, device: torch.device) -> None:
        from transformers import Sam2Model

        self._model = checkpoint.model(Sam2Model).to(device)
        self._pixels, self._device = checkpoint.square_pixels(), device

    @torch.inference_mode()
    def masks(self, image: np.ndarray, corners: torch.Tensor) -> Iterator[torch.Tensor]:
        pixels = prepared(self._pixels, image)["pixel_values"].to(self._device)
        with mixed_precision(self._device):
            seen = self._model.get_image_embeddings(pixels)
        height, width = pixels.shape[2:]
        scale = corners.new_tensor([width / image.shape[1], height / image.shape[0]] * 2)
        for part in in_parts(range(len(corners)), _TOGETHER):
            with mixed_precision(self._device):
                made = self._model(
                    image_embeddings=seen,
                    input_boxes=(corners[part] * scale)[None],
                    multimask_output=False,
                ).pred_masks
            # (1, boxes, 1, height, width)
            large = interpolate(
                made[0].float(), size=working_size(image), mode="bilinear", align_corners=False
            )
            yield large[:, 0] > 0


MASKERS.register(
    MaskerFamily(
        name="sam2",
        rank=0,
        description="SAM 2: masks of boxes",
        model_types=("sam2", "sam2_video"),
        load=Sam2,
    )
)
