"""Edit detectability: whether marks of recombination encode the label.

A small network is trained to distinguish real from recombined images, cross-fitted, so that every
image is scored by a network that saw neither it nor its family. If that score predicts the label,
a classifier could learn edit marks instead of the label. The same holds if it predicts the label
within an attribute value: where common groups are real and scarce ones recombined, the associations
of different attribute values are opposite and cancel overall.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import KBinsDiscretizer
from torch import Tensor, nn

from heml.compute.device import choose_device, mixed_precision, to_device
from heml.compute.threads import seeded
from heml.metrics.node_network import SmallTrunk

#: Resamples of every interval, and what they leave out on both sides together.
RESAMPLES, OUTSIDE = 500, 0.05
#: The score's quantile bins that the label is predicted from.
BINS = 8
#: Balanced accuracy above chance with which the score may predict the label.
ALLOWED = 0.02


@dataclass(frozen=True)
class Measured:
    """A number with its 95% bootstrap interval over families of images.

    Parameters
    ----------
    value, low, high : float
    n : int
        Images behind it.
    """

    value: float
    low: float
    high: float
    n: int


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
        network = _train(images, train, recombined, steps, batch_size, seed + number, device)
        scores[test] = _score(network, images[test], device)
        # Logits of different networks have different offsets: ranks compare.
        scores[test] = scores[test].argsort().argsort() / max(len(test) - 1, 1)
    rng = np.random.default_rng(seed)
    detector = _bootstrapped(lambda times: _auc(times, recombined, scores), families, rng)

    def accuracy(strata: np.ndarray) -> Measured:
        right = _predicted(scores, codes, weights, strata, splits) == codes
        # Strata below 0 are left out.
        keys = np.where(strata < 0, -1, strata * len(names) + codes)
        return _bootstrapped(lambda times: _balanced(times, keys, right, weights), families, rng)

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


class _Detector(nn.Module):
    """The trunk of the node networks, which sees fine detail before it pools, and one output."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = SmallTrunk()
        self.head = nn.LazyLinear(1)

    def forward(self, images: Tensor) -> Tensor:
        score: Tensor = self.head(self.trunk(images))
        return score[:, 0]


def _scaled(images: np.ndarray, device: torch.device) -> Tensor:
    """Colors, and as fourth channel fine detail: a mark is a matter of it."""
    colors = (to_device(np.ascontiguousarray(images), device).float() - 128) / 128
    gray = colors.mean(dim=1, keepdim=True)
    detail = gray - nn.functional.avg_pool2d(gray, 3, 1, 1)
    return torch.cat([colors, detail * 4], dim=1)


def _train(
    images: np.ndarray,
    train: np.ndarray,
    recombined: np.ndarray,
    steps: int,
    batch_size: int,
    seed: int,
    device: torch.device,
) -> nn.Module:
    rng = np.random.default_rng(seed)
    with seeded(seed):
        network = _Detector()
        network(_scaled(images[:1], torch.device("cpu")))
    # Initialized on the CPU: the same weights on every device.
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    kinds = [train[recombined[train] == kind] for kind in (False, True)]
    half = max(batch_size // 2, 1)
    truth = torch.arange(2).repeat_interleave(half).float().to(device)
    for _ in range(steps):
        rows = np.concatenate([rng.choice(kind, half) for kind in kinds])
        batch = _scaled(images[rows], device)
        flips = to_device(rng.random(len(rows)) < 0.5, device)[:, None, None, None]
        batch = torch.where(flips, batch.flip(-1), batch)
        with mixed_precision(device):
            scores = network(batch)
        loss = nn.functional.binary_cross_entropy_with_logits(scores.float(), truth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def _score(network: nn.Module, images: np.ndarray, device: torch.device) -> np.ndarray:
    parts = [
        network(_scaled(images[start : start + 256], device)).cpu().numpy()
        for start in range(0, len(images), 256)
    ]
    return np.concatenate(parts).astype(float)


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


def _auc(times: np.ndarray, recombined: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of every resample, ties counted by half; NaN with one kind alone.

    Parameters
    ----------
    times : int array (R, N)
        How often each image is drawn.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    # Images of one score are taken together.
    above, below = (
        np.add.reduceat(times[:, order] * kind[order], starts, axis=1).astype(float)
        for kind in (recombined, ~recombined)
    )
    lower = np.cumsum(below, axis=1) - below / 2
    pairs = above.sum(axis=1) * below.sum(axis=1)
    wins = (above * lower).sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(times), np.nan), where=pairs > 0)


def _balanced(
    times: np.ndarray, keys: np.ndarray, right: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Mean share of what is right, by weight, over all keys from 0 on, of every resample.

    Parameters
    ----------
    times : int array (R, N)
        How often each image is drawn.
    """
    kept = keys >= 0
    places = np.unique(keys[kept], return_inverse=True)[1]
    table = np.eye(places.max(initial=0) + 1)[places] * weights[kept, None]
    masses = times[:, kept] @ table
    hits = times[:, kept] @ (table * right[kept, None])
    shares = np.divide(hits, masses, out=np.zeros_like(hits), where=masses > 0)
    there = (masses > 0).sum(axis=1)
    return np.divide(shares.sum(axis=1), there, out=np.full(len(times), np.nan), where=there > 0)


def _bootstrapped(
    measure: Callable[[np.ndarray], np.ndarray], families: np.ndarray, rng: np.random.Generator
) -> Measured:
    """Resamples whole families: an image and its recombinations are not independent.

    Parameters
    ----------
    measure : callable
        From how often each image is drawn, int array (R, N), the measure of every resample (R,).
    """
    names, codes = np.unique(families, return_inverse=True)
    count = len(names)
    drawn = [
        np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(RESAMPLES)
    ]
    low, high = np.nanquantile(measure(np.stack(drawn)[:, codes]), [OUTSIDE / 2, 1 - OUTSIDE / 2])
    everything = measure(np.ones((1, len(codes)), int))
    return Measured(float(everything[0]), float(low), float(high), len(codes))
