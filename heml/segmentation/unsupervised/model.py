"""What a set's objects are like, learned from its images, and where they are in one of them.

Steps, each learned from what the one before found in all images: what stands out where the set's
objects are, and what looks like the middle of images rather than their border; what looks as most
of that does; what belongs to it in its own image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.special import expit, logit
from skimage.filters import threshold_otsu
from torch import Tensor

from heml.segmentation.unsupervised.features import appearance, context, surface
from heml.segmentation.unsupervised.prior import learn_prior, mean_map, stretched
from heml.segmentation.unsupervised.regions import Regions, find_regions, working_image
from heml.segmentation.unsupervised.saliency import Contrast, contrast, saliency, spread
from heml.segmentation.unsupervised.scorer import Scorer, fit_scorer

#: Spread of CIELAB values below which nothing in an image stands out.
_FLAT = 0.5
#: What is learned, step by step.
SCORERS = ("middle", "look", "context")
#: Share of the image that is the set's middle: where most stands out. What looks like it weighs so
#: much in the first guess, and so sharply.
_MIDDLE, _CENTRAL, _CENTRAL_SHARPNESS = 0.15, 0.45, 1.5
#: Side of the map of places, and its weight: looks depend on places.
_PLACES, _PLACE_WEIGHT = 12, 0.2
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
        Where objects stand out, 0 to 1.
    places : ndarray of float32, shape (12, 12)
        Log-odds that a place adds.
    scorers : mapping of str to Scorer
        Under `SCORERS`.
    """

    def __init__(
        self, prior: np.ndarray, places: np.ndarray, scorers: Mapping[str, Scorer]
    ) -> None:
        self._prior, self._places, self._scorers = prior, places, dict(scorers)

    def objectness(self, seen: Look) -> np.ndarray:
        """How much each superpixel is object, 0 to 1, (n,); 0 where nothing stands out."""
        if seen.is_flat:
            return np.zeros(len(seen.regions))
        guess = _guess(seen, self._prior, self._scorers["middle"])
        found = _joined(seen, guess, self._scorers["look"])
        score = self._scorers["context"].score(_with_context(seen, found))
        return _evened(seen, expit(_odds(score) + _likely(seen.regions, self._places)))

    def tensors(self) -> dict[str, Tensor]:
        """What it has learned, for a file."""
        return {
            "prior": torch.from_numpy(self._prior),
            "places": torch.from_numpy(self._places),
            **{f"{n}.{k}": t for n, s in self._scorers.items() for k, t in s.state_dict().items()},
        }


def from_tensors(tensors: Mapping[str, Tensor]) -> ObjectModel:
    """A model from what `ObjectModel.tensors` gave."""
    scorers = {}
    for name in SCORERS:
        start = f"{name}."
        state = {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
        scorer = Scorer(len(state["mean"]))
        scorer.load_state_dict(state)
        scorers[name] = scorer.eval()
    return ObjectModel(tensors["prior"].numpy(), tensors["places"].numpy(), scorers)


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
    areas = [one.regions.areas for one in told]
    prior = learn_prior(one.salient[one.regions.labels] for one in told)
    limit = np.quantile(prior, 1 - _MIDDLE)
    middles = [(_likely(one.regions, prior) > limit).astype(float) for one in told]
    middle = fit_scorer(
        [_surface(one) for one in told],
        middles,
        # as much weight for the middle as for what lies around it
        [a / np.where(m > 0, _MIDDLE, 1 - _MIDDLE) for a, m in zip(areas, middles, strict=True)],
        seed,
    )
    guesses = [_guess(one, prior, middle) for one in told]
    by_look = fit_scorer([one.appearance for one in told], guesses, areas, seed + 1)
    found = [_joined(one, guess, by_look) for one, guess in zip(told, guesses, strict=True)]
    contexts = [_with_context(one, f) for one, f in zip(told, found, strict=True)]
    by_context = fit_scorer(contexts, found, areas, seed + 2)
    maps = [
        _evened(one, by_context.score(c))[one.regions.labels]
        for one, c in zip(told, contexts, strict=True)
    ]
    shares = mean_map(maps, _PLACES)
    places = _PLACE_WEIGHT * (_odds(shares) - _odds(shares.mean()))
    scorers = {"middle": middle, "look": by_look, "context": by_context}
    return ObjectModel(prior, places.astype(np.float32), scorers)


def _likely(regions: Regions, prior: np.ndarray) -> np.ndarray:
    return regions.means(stretched(prior, regions.labels.shape))


def _surface(seen: Look) -> np.ndarray:
    return surface(seen.appearance, seen.regions.areas)


def _guess(seen: Look, prior: np.ndarray, middle: Scorer) -> np.ndarray:
    """What stands out where objects are, and what looks like the middle of the set's images."""
    regions = seen.regions
    standing_out = saliency(regions, seen.weights, _likely(regions, prior))
    salient = _sharpened(regions, standing_out)
    central = expit(_CENTRAL_SHARPNESS * _odds(_evened(seen, middle.score(_surface(seen)))))
    return (1 - _CENTRAL) * salient + _CENTRAL * central


def _joined(seen: Look, guess: np.ndarray, by_look: Scorer) -> np.ndarray:
    """The guess and what looks like most of what was guessed, in equal parts."""
    scored = _evened(seen, by_look.score(seen.appearance))
    return (_sharpened(seen.regions, scored) + guess) / 2


def _with_context(seen: Look, found: np.ndarray) -> np.ndarray:
    return np.concatenate([seen.appearance, context(seen.regions, found)], 1)


def _evened(seen: Look, score: np.ndarray) -> np.ndarray:
    """Scores that like neighbors agree on."""
    return spread(seen.regions, _WEIGHT * (1 - score), _WEIGHT * score)


def _sharpened(regions: Regions, values: np.ndarray) -> np.ndarray:
    """Values pushed to 0 and 1 from the image's own threshold (Otsu, 1979)."""
    limit = threshold_otsu(values[regions.labels]) if np.ptp(values) > 0 else values.max()
    return expit(_SHARPNESS * (values - limit))


def _odds(probabilities: np.ndarray) -> np.ndarray:
    """Log-odds, of nothing surer than 0.01 and 0.99."""
    return logit(np.clip(probabilities, 0.01, 0.99))
