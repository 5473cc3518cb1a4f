"""SAM: masks of boxes. Kirillov et al., "Segment Anything", ICCV 2023."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from heml.compute.batching import in_parts
from heml.compute.device import mixed_precision
from heml.segmentation.prompting.batches import prepared
from heml.segmentation.prompting.checkpoint import PromptCheckpoint
from heml.segmentation.prompting.family import MASKERS, MaskerFamily, working_size

#: Boxes whose masks are made together.
_TOGETHER = 16


class Sam:
    """The image is encoded once, the mask decoder runs for every box.

    Parameters
    ----------
    checkpoint : PromptCheckpoint
    device : torch.device
    """

    def __init__(self, checkpoint: PromptCheckpoint, device: torch.device) -> None:
        from transformers import SamModel

        self._model = checkpoint.model(SamModel).to(device)
        self._pixels, self._device = checkpoint.pixels(), device

    @torch.inference_mode()
    def masks(self, image: np.ndarray, corners: torch.Tensor) -> Iterator[torch.Tensor]:
        inputs = prepared(self._pixels, image)
        with mixed_precision(self._device):
            seen = self._model.get_image_embeddings(inputs["pixel_values"].to(self._device))
        height, width = inputs["reshaped_input_sizes"][0].tolist()
        scale = corners.new_tensor([width / image.shape[1], height / image.shape[0]] * 2)
        for part in in_parts(range(len(corners)), _TOGETHER):
            with mixed_precision(self._device):
                made = self._model(
                    image_embeddings=seen,
                    input_boxes=(corners[part] * scale)[None],
                    multimask_output=False,
                ).pred_masks
            # (1, boxes, 1, height, width)
            (large,) = self._pixels.post_process_masks(
                made.float(), [working_size(image)], [(height, width)]
            )
            yield large[:, 0]


MASKERS.register(
    MaskerFamily(
        name="sam",
        rank=1,
        description="SAM: masks of boxes",
        model_types=("sam",),
        load=Sam,
    )
)
