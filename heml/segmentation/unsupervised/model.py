"""What a set's objects are like, learned from its images, and where they are in one of them.

Three steps, each learned from what the one before found in all images: what stands out where the
set's objects are; what looks as most of that does; what belongs to it in its own image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from skimage.filters import threshold_otsu
from torch import Tensor

from heml.segmentation.unsupervised.features import appearance, context
from heml.segmentation.unsupervised.prior import learn_prior, stretched
from heml.segmentation.unsupervised.regions import Regions, find_regions, working_image
from heml.segmentation.unsupervised.saliency import Contrast, contrast, saliency, spread
from heml.segmentation.unsupervised.scorer import Scorer, fit_scorer

#: Spread of CIELAB values below which nothing in an image stands out.
_FLAT = 0.5
#: How sharply values are told apart at an image's threshold, and how much a score weighs against
#: its neighbors'.
_SHARPNESS, _WEIGHT = 8.0, 3.0


@dataclass(frozen=True)
class Look:
    """What one image gives: its superpixels and what is computed of them once.

    Parameters
    ----------
    regions : Regions
    weights : Contrast
    appearance : ndarray of float32, shape (n, f)
    """

    regions: Regions
    weights: Contrast
    appearance: np.ndarray

    @property
    def is_flat(self) -> bool:
        """Whether there is nothing to tell apart."""
        return len(self.regions) < 2 or float(np.ptp(self.regions.colors, axis=0).max()) < _FLAT

    @cached_property
    def salient(self) -> np.ndarray:
        """How much each superpixel stands out, 0 to 1."""
        return saliency(self.regions, self.weights)


def look(pixels: np.ndarray) -> Look:
    """Superpixels and features of an RGB image, uint8 (height, width, 3), of any size."""
    image = working_image(pixels)
    regions = find_regions(image)
    weights = contrast(regions)
    return Look(regions, weights, appearance(image, regions, weights))


class ObjectModel:
    """Finds a set's objects in single images.

    Parameters
    ----------
    prior : ndarray of float32, shape (32, 32)
        Where objects are.
    by_look, by_context : Scorer
    """

    def __init__(self, prior: np.ndarray, by_look: Scorer, by_context: Scorer) -> None:
        self._prior, self._by_look, self._by_context = prior, by_look, by_context

    def objectness(self, seen: Look) -> np.ndarray:
        """How much each superpixel is object, 0 to 1, (n,); 0 where nothing stands out."""
        if seen.is_flat:
            return np.zeros(len(seen.regions))
        found = _joined(seen, _standing_out(seen, self._prior), self._by_look)
        return _scored(seen, self._by_context, _with_context(seen, found))

    def tensors(self) -> dict[str, Tensor]:
        """What it has learned, for a file."""
        scorers = {"look": self._by_look, "context": self._by_context}
        return {
            "prior": torch.from_numpy(self._prior),
            **{f"{n}.{key}": t for n, s in scorers.items() for key, t in s.state_dict().items()},
        }


def from_tensors(tensors: Mapping[str, Tensor]) -> ObjectModel:
    """A model from what `ObjectModel.tensors` gave."""
    scorers = []
    for name in ("look", "context"):
        state = {k.removeprefix(f"{name}."): t for k, t in tensors.items() if k.startswith(name)}
        scorer = Scorer(len(state["mean"]))
        scorer.load_state_dict(state)
        scorers.append(scorer.eval())
    return ObjectModel(tensors["prior"].numpy(), *scorers)


def fit_model(looks: Iterable[Look], seed: int) -> ObjectModel:
    """Learns from the images of a set, without any mask.

    Parameters
    ----------
    looks : iterable of Look
        Of each image, kept until it is done: some hundred kilobytes each.
    seed : int
    """
    seen = list(looks)
    told = [one for one in seen if not one.is_flat] or seen
    prior = learn_prior(one.salient[one.regions.labels] for one in told)
    areas = [one.regions.areas for one in told]
    found = [_standing_out(one, prior) for one in told]
    by_look = fit_scorer([one.appearance for one in told], found, areas, seed)
    found = [_joined(one, f, by_look) for one, f in zip(told, found, strict=True)]
    contexts = [_with_context(one, f) for one, f in zip(told, found, strict=True)]
    return ObjectModel(prior, by_look, fit_scorer(contexts, found, areas, seed + 1))


def _standing_out(seen: Look, prior: np.ndarray) -> np.ndarray:
    regions = seen.regions
    likely = regions.means(stretched(prior, regions.labels.shape))
    return _sharpened(regions, saliency(regions, seen.weights, likely))


def _joined(seen: Look, found: np.ndarray, by_look: Scorer) -> np.ndarray:
    """What stands out and what looks like objects, in equal parts."""
    scored = _scored(seen, by_look, seen.appearance)
    return (_sharpened(seen.regions, scored) + found) / 2


def _with_context(seen: Look, found: np.ndarray) -> np.ndarray:
    return np.concatenate([seen.appearance, context(seen.regions, found)], 1)


def _scored(seen: Look, scorer: Scorer, features: np.ndarray) -> np.ndarray:
    score = scorer.score(features)
    return spread(seen.regions, _WEIGHT * (1 - score), _WEIGHT * score)


def _sharpened(regions: Regions, values: np.ndarray) -> np.ndarray:
    """Values pushed to 0 and 1 from the image's own threshold (Otsu, 1979)."""
    limit = threshold_otsu(values[regions.labels]) if np.ptp(values) > 0 else values.max()
    return 1 / (1 + np.exp(-_SHARPNESS * (values - limit)))
