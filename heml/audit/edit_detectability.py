"""Edit detectability: whether marks of recombination encode the label.

A small network is trained to distinguish real from recombined images, cross-fitted, so that every
image is scored by a network that saw neither it nor its family. If that score predicts the label,
a classifier could learn edit marks instead of the label. The same holds if it predicts the label
within an attribute value: where common groups are real and scarce ones recombined, the associations
of different attribute values are opposite and cancel overall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import KBinsDiscretizer

from heml.bias.family_bootstrap import Measured, bootstrapped, resampled_accuracy, resampled_auc
from heml.compute.device import choose_device
from heml.recombination.judging.detector import detector_scores, train_detector

#: The score's quantile bins that the label is predicted from.
BINS = 8
#: Balanced accuracy above chance with which the score may predict the label.
ALLOWED = 0.02


@dataclass(frozen=True)
class EditDetectability:
    """What a detector of recombined images finds.

    Parameters
    ----------
    detector : Measured
        Area under the ROC curve of the detector's score for recombined against real; chance is
        0.5.
    label : Measured
        Balanced accuracy of the label predicted from the score alone.
    label_within : Measured or None
        The same within each attribute value, mean over them; None where no attributes are given.
    chance : float
        Balanced accuracy by chance: one over the number of labels.
    scores : float array (N,)
        Held-out logits, high for recombined.
    """

    detector: Measured
    label: Measured
    label_within: Measured | None
    chance: float
    scores: np.ndarray

    @property
    def encodes_label(self) -> bool:
        """Whether the score predicts the label above chance, by `ALLOWED` at 95% confidence."""
        return self.strongest.low > self.chance + ALLOWED

    @property
    def strongest(self) -> Measured:
        """Accuracy overall or within attribute values, whichever has the higher lower bound."""
        within = self.label_within
        return self.label if within is None or within.low <= self.label.low else within

    def describe(self) -> dict[str, Any]:
        """Plain numbers, for summaries."""
        named = {"detector_auc": self.detector, "label_accuracy": self.label}
        if self.label_within is not None:
            named["label_accuracy_within_attributes"] = self.label_within
        described: dict[str, Any] = {}
        for name, measured in named.items():
            described[name] = measured.value
            described[f"{name}_low"], described[f"{name}_high"] = measured.low, measured.high
        return described | {"chance": self.chance, "n": self.label.n}


def measure_edit_detectability(
    images: np.ndarray,
    recombined: np.ndarray,
    labels: np.ndarray,
    families: np.ndarray,
    attributes: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    *,
    folds: int = 3,
    steps: int = 200,
    batch_size: int = 64,
    seed: int = 0,
    device: torch.device | None = None,
) -> EditDetectability:
    """Trains the detector and measures how well its score predicts the label.

    Parameters
    ----------
    images : uint8 array (N, 3, S, S), RGB
        Real and recombined ones at the size at which they would be trained on.
    recombined : bool array (N,)
    labels : array (N,)
    families : array (N,)
        Images of one family (a host and its recombinations) are never on both sides of a fold.
    attributes : array (N,), optional
        Attribute values; with several attributes, a name for each combination.
    weights : float array (N,), optional
        Sample weights with which a classifier would be trained; equal by default.
    folds : int, default 3
    steps : int, default 200
        Optimizer steps of each fold's detector.
    batch_size : int, default 64
        Half of it real, half recombined.
    seed : int, default 0
    device : torch.device, optional
        Where the detectors are trained; the accelerator if there is one by default.

    Returns
    -------
    EditDetectability

    Raises
    ------
    ValueError
        If lengths differ, there are not both kinds of images, fewer than two labels, or fewer
        families than folds.
    """
    recombined, labels, families = (
        np.asarray(recombined, bool),
        *map(np.asarray, (labels, families)),
    )
    weights = np.ones(len(images)) if weights is None else np.asarray(weights, float)
    _check(images, recombined, labels, families, folds)
    device = device or choose_device("auto")
    scores = np.full(len(images), np.nan)
    names, codes = np.unique(labels, return_inverse=True)
    splits = list(GroupKFold(folds, shuffle=True, random_state=seed).split(images, None, families))
    for number, (train, test) in enumerate(splits):
        if recombined[train].all() or not recombined[train].any():
            raise ValueError(
                f"fold {number} has one kind of image alone: give more families, or fewer folds"
            )
        network = train_detector(
            images, train, recombined, steps, batch_size, seed + number, device
        )
        scores[test] = detector_scores(network, images[test], device)
        # Logits of different networks have different offsets: ranks compare.
        scores[test] = scores[test].argsort().argsort() / max(len(test) - 1, 1)
    rng = np.random.default_rng(seed)
    detector = bootstrapped(lambda times: resampled_auc(times, recombined, scores), families, rng)

    def accuracy(strata: np.ndarray) -> Measured:
        right = _predicted(scores, codes, weights, strata, splits) == codes
        # Strata below 0 are left out.
        keys = np.where(strata < 0, -1, strata * len(names) + codes)
        return bootstrapped(
            lambda times: resampled_accuracy(times, keys, right, weights), families, rng
        )

    label = accuracy(np.zeros(len(codes), int))
    within = None
    if attributes is not None:
        strata = np.unique(np.asarray(attributes), return_inverse=True)[1]
        # With one label, or one kind of image, there is nothing to predict.
        several = np.array(
            [
                all(len(np.unique(kind[strata == s])) > 1 for kind in (codes, recombined))
                for s in range(strata.max() + 1)
            ]
        )
        within = accuracy(np.where(several[strata], strata, -1)) if several.any() else None
    return EditDetectability(detector, label, within, 1 / len(names), scores)


def _check(
    images: np.ndarray, recombined: np.ndarray, labels: np.ndarray, families: np.ndarray, folds: int
) -> None:
    if not len(images) == len(recombined) == len(labels) == len(families):
        raise ValueError(
            f"images, recombined, labels and families must be of one length, found {len(images)}, "
            f"{len(recombined)}, {len(labels)} and {len(families)}"
        )
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be uint8 (N, 3, S, S), found {images.dtype} {images.shape}")
    if recombined.all() or not recombined.any():
        raise ValueError("a detector needs real and recombined images, found one kind alone")
    if len(np.unique(labels)) < 2:
        raise ValueError("edit marks can only encode labels where there are at least two")
    if len(np.unique(families)) < folds:
        raise ValueError(
            f"{len(np.unique(families))} families of images are too few: {folds} folds"
        )


def _predicted(
    scores: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray,
    strata: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Label of each image from its score, by what the other folds' images of its stratum show; -1
    in strata below 0."""
    predicted = np.full(len(codes), -1)
    for train, test in splits:
        for stratum in np.unique(strata[test][strata[test] >= 0]):
            known, asked = (rows[strata[rows] == stratum] for rows in (train, test))
            if len(known):
                predicted[asked] = _from_score(
                    scores[known], codes[known], weights[known], scores[asked]
                )
    return predicted


def _from_score(
    known: np.ndarray, labels: np.ndarray, weights: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Labels predicted from scores in quantile bins: a relation need not be monotonic."""
    values, codes = np.unique(labels, return_inverse=True)
    if len(values) < 2:
        return np.full(len(asked), labels[0])
    # Labels count the same: by the weights, scikit-learn's own balance goes by numbers of rows.
    masses = np.bincount(codes, weights)
    balanced = weights * (len(labels) / len(values) / np.maximum(masses, 1e-12))[codes]
    bins = KBinsDiscretizer(
        BINS, encode="onehot-dense", strategy="quantile", quantile_method="averaged_inverted_cdf"
    )
    model = LogisticRegression()
    model.fit(bins.fit_transform(known[:, None]), labels, sample_weight=balanced)
    return np.asarray(model.predict(bins.transform(asked[:, None])))
