"""Words as a segmenter of leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn.functional import interpolate

from heml.segmentation.prediction import Prediction
from heml.segmentation.prompting.family import Finder, Found, working_size
from heml.segmentation.prompting.overlaps import LeafScores, assign, same_pixels
from heml.segmentation.prompting.word_agreement import WordAgreement

#: Pairs of leaves with the same pixels that are told one by one.
_PAIRS = 5


class PromptedSegmenter:
    """What a finder finds, one leaf for every pixel.

    Parameters
    ----------
    finder : Finder
    prompts : mapping of str to sequence of str
        Leaf → its words. The pixels of several are joined.
    rest : str or None
        Leaf of what no word finds.
    leaves : sequence of str
        All leaves; their order gives the indices of predictions. At most 255.
    depths : sequence of int
        Depth of each in the tree.
    threshold : float
    name : str
        Id that is written into every row.
    licence : str or None
    device : torch.device
    """

    def __init__(
        self,
        finder: Finder,
        prompts: Mapping[str, Sequence[str]],
        rest: str | None,
        leaves: Sequence[str],
        depths: Sequence[int],
        threshold: float,
        name: str,
        licence: str | None,
        device: torch.device,
    ) -> None:
        self.name, self.licence, self.leaves = name, licence, list(leaves)
        self._finder, self._device, self._threshold = finder, device, threshold
        self._depths = list(depths)
        self._rest = None if rest is None else self.leaves.index(rest)
        self._leaf_of = [self.leaves.index(leaf) for leaf, texts in prompts.items() for _ in texts]
        self._prompts = [text for texts in prompts.values() for text in texts]
        self._gone: Counter[tuple[int, int]] = Counter()
        self._images = 0

    @property
    def accelerated(self) -> bool:
        """Whether it works on another device than the processor."""
        return self._device.type != "cpu"

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Segments of a batch of images; see `heml.segmentation.prediction.Predictor`."""
        results = []
        claims, agreement = self._claims(images)
        for image, (found, highest), agreed in zip(images, claims, agreement, strict=True):
            size = working_size(image)
            self._images += 1
            self._gone.update(same_pixels(found))
            ids, confidence = assign(found, self._depths, size, self._rest, highest)
            if size != image.shape[:2]:
                small = torch.from_numpy(ids)[None, None]
                ids = interpolate(small, size=image.shape[:2], mode="nearest")[0, 0].numpy()
            results.append(Prediction(ids, confidence, agreed.by_leaf()))
        return results

    def noticed(self) -> list[str]:
        """Leaves that found the same pixels, in the images that were segmented so far."""
        pairs = self._gone.most_common()
        said = [
            f"'{self.leaves[other]}' finds the same pixels as '{self.leaves[one]}' in {count} of "
            f"{self._images} images, where '{self.leaves[one]}' is surer and keeps them"
            for (one, other), count in pairs[:_PAIRS]
        ]
        more = len(pairs) - _PAIRS
        return said + ([f"{more} more pairs of leaves find the same pixels"] if more > 0 else [])

    def claims(self, images: Sequence[np.ndarray]) -> list[tuple[list[LeafScores], np.ndarray]]:
        """What each leaf claims in each image before overlaps are resolved, and highest scores.

        Returns
        -------
        list of (list of LeafScores, ndarray of float32)
            Leaves that claim something, in their order; the highest score of any prompt at each
            pixel of the image's `working_size`.
        """
        return self._claims(images)[0]

    def _claims(
        self, images: Sequence[np.ndarray]
    ) -> tuple[list[tuple[list[LeafScores], np.ndarray]], list[WordAgreement]]:
        agreement = [WordAgreement(self._leaf_of) for _ in images]
        scores: list[dict[int, torch.Tensor]] = [{} for _ in images]
        highest = [torch.zeros(working_size(i), device=self._device) for i in images]
        for found in self._finder.find(images, self._prompts, self._threshold):
            highest[found.image] = torch.maximum(highest[found.image], found.scores)
            if self._join(scores[found.image], found):
                agreement[found.image].add(found.prompt, found.scores > self._threshold)
        claims = [
            (
                [self._leaf(leaf, of[leaf].cpu().numpy()) for leaf in sorted(of)],
                high.cpu().numpy(),
            )
            for of, high in zip(scores, highest, strict=True)
        ]
        return claims, agreement

    def _join(self, of: dict[int, torch.Tensor], found: Found) -> bool:
        """Adds what a prompt found to its leaf; False if it found nothing."""
        if not (found.scores > self._threshold).any():
            return False
        leaf = self._leaf_of[found.prompt]
        known = of.get(leaf)
        of[leaf] = found.scores if known is None else torch.maximum(known, found.scores)
        return True

    def _leaf(self, leaf: int, scores: np.ndarray) -> LeafScores:
        return LeafScores(leaf, scores, scores > self._threshold)
