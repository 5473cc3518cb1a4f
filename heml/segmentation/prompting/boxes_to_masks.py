"""A finder of boxes and a masker of boxes, together a finder of pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from heml.segmentation.prompting.family import Boxes, BoxFinder, Found, Masker, working_size


class BoxesToMasks:
    """Each pixel has the score of the best box of whose mask it is a part.

    Parameters
    ----------
    finder : BoxFinder
    masker : Masker
    """

    #: Boxes of one image beyond these, by score, get no mask: detectors give hundreds on noise.
    most_boxes = 200

    def __init__(self, finder: BoxFinder, masker: Masker) -> None:
        self._finder, self._masker = finder, masker

    @torch.inference_mode()
    def find(
        self, images: Sequence[np.ndarray], prompts: Sequence[str], threshold: float
    ) -> Iterator[Found]:
        all_boxes = self._finder.boxes(images, prompts, threshold)
        for number, (image, boxes) in enumerate(zip(images, all_boxes, strict=True)):
            for prompt, scores in self._scores(image, boxes).items():
                yield Found(number, prompt, scores)

    def _scores(self, image: np.ndarray, boxes: Boxes) -> dict[int, torch.Tensor]:
        order = boxes.scores.argsort(descending=True, stable=True)[: self.most_boxes]
        height, width = image.shape[:2]
        limit = boxes.corners.new_tensor([width, height, width, height])
        corners = torch.minimum(boxes.corners[order].clamp(min=0), limit)
        found: dict[int, torch.Tensor] = {}
        place = 0
        for masks in self._masker.masks(image, corners) if len(order) else ():
            for mask in masks:
                prompt, score = int(boxes.prompts[order[place]]), boxes.scores[order[place]]
                best = found.setdefault(
                    prompt, torch.zeros(working_size(image), device=mask.device)
                )
                found[prompt] = torch.maximum(best, mask * score)
                place += 1
        return found
