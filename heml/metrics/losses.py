"""Losses by name: pytorch-metric-learning's, with the distance and the miner that fit each.

Losses of distances (triplet, contrastive, lifted structure, N-pairs) take the distance itself.
Multi-similarity and proxy-anchor are written for a similarity in [-1, 1]: they get
`1 - 2 * bounded distance`, which is the cosine similarity of centered embeddings where those have
equal norms, so that the constants of their papers keep their meaning. N-pairs is a softmax over
negative distances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers
from pytorch_metric_learning.utils import loss_and_miner_utils as pairing
from torch import Tensor, nn

from heml.compute.threads import seeded
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.snr import BoundedSNRDistance, BoundedSNRSimilarity, SNRDistance

#: Weight of the zero-mean regularizer (Yuan et al.) against the loss itself.
ZERO_MEAN_WEIGHT = 0.1
#: Proxies learn this much faster than networks (Kim et al., "Proxy Anchor", CVPR 2020).
PROXY_RATE = 100

Indices = tuple[Tensor, ...]
#: Embeddings (B, D), labels (B,) → the indices of pairs (4) or triplets (3) to learn from.
Miner = Callable[[Tensor, Tensor], Indices]


def distance_named(name: str) -> distances.BaseDistance:
    """The distance that losses compare embeddings with.

    `NodeNetwork` shapes embeddings by the same name: for "cosine" and "euclidean" they are
    centered.

    Parameters
    ----------
    name : str
        "snr", "cosine" (a similarity: `is_inverted`) or "euclidean".
    """
    if name == "snr":
        return SNRDistance()
    if name == "cosine":
        return distances.CosineSimilarity()
    return distances.LpDistance(normalize_embeddings=False)


def ranking_distance(name: str) -> distances.BaseDistance:
    """The distance that neighbors are ranked by: bounded and symmetric, but plain Euclidean."""
    return distance_named(name) if name == "euclidean" else BoundedSNRDistance()


class Objective(nn.Module):
    """A loss of the library with its miner.

    Parameters
    ----------
    loss : nn.Module
        Of the library.
    miner : callable
    """

    def __init__(self, loss: nn.Module, miner: Miner) -> None:
        super().__init__()
        self.loss = loss
        self._miner = miner

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What to minimize, and what the learning curve shows.

        Parameters
        ----------
        embeddings : Tensor, shape (B, D)
        labels : int Tensor, shape (B,)
            0 to classes - 1.

        Returns
        -------
        Tensor, Tensor
            Two scalars; the second needs no gradient.
        """
        value = self.loss(embeddings, labels, self._miner(embeddings, labels))
        return value, value.detach()


class TripletObjective(Objective):
    """Triplet margin loss, of which the curve shows the mean over all triplets."""

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        triplets = self.loss(embeddings, labels, self._miner(embeddings, labels))["loss"]["losses"]
        if not torch.is_tensor(triplets):  # no triplet was mined
            return embeddings.sum() * 0, embeddings.new_zeros(())
        # Triplets that already keep the margin teach nothing and do not dilute the others.
        active = (triplets > 0).sum().clamp_min(1)
        return triplets.sum() / active, triplets.detach().mean()


class NPairsObjective(Objective):
    """N-pairs loss over all images of a batch.

    The library's loss takes one pair of each label, two pairs of sixty-four images where there are
    two labels: here the batch is cut into as many sets of pairs as it holds.
    """

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        members = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
        sets = min(len(rows) for rows in members) // 2
        values = []
        for number in range(sets):
            chosen = torch.cat([rows[2 * number : 2 * number + 2] for rows in members])
            values.append(self.loss(embeddings[chosen], labels[chosen]))
        value = torch.stack(values).mean()
        return value, value.detach()


class _All:
    """All pairs or triplets of a batch; kept while batches come with the same tensor of labels.

    The same tensor, not equal ones: comparing them would make an accelerator wait.
    """

    def __init__(self, find: Callable[[Tensor], Indices]) -> None:
        self._find = find
        self._labels: Tensor | None = None
        self._indices: Indices = ()

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Indices:
        if labels is not self._labels:
            self._labels, self._indices = labels, self._find(labels)
        return self._indices


def _miner(settings: MetricSettings) -> Miner:
    chosen = settings.miner
    if chosen == "default":
        chosen = "multi_similarity" if settings.loss == "multi_similarity" else "all"
    if chosen == "all":
        triplets = settings.loss == "triplet"
        return _All(pairing.get_all_triplets_indices if triplets else pairing.get_all_pairs_indices)
    if chosen == "multi_similarity":
        return miners.MultiSimilarityMiner(distance=BoundedSNRSimilarity())
    distance = distance_named(settings.distance)
    if chosen == "hard":
        return miners.BatchHardMiner(distance=distance)
    return miners.TripletMarginMiner(settings.margin, "semihard", distance=distance)


def objective(settings: MetricSettings, classes: int) -> Objective:
    """The loss that the settings name.

    Parameters
    ----------
    settings : MetricSettings
    classes : int
        Number of label values, for losses with proxies. Proxies are drawn from the settings' seed,
        learn with the network and are not needed afterwards.
    """
    distance, miner = distance_named(settings.distance), _miner(settings)
    # Cosine counts the other way: alike is 1, unlike 0.
    margins = {"pos_margin": 0, "neg_margin": 1}
    if distance.is_inverted:
        margins = {"pos_margin": 1, "neg_margin": 0}
    match settings.loss:
        case "triplet":
            loss = losses.TripletMarginLoss(
                settings.margin, distance=distance, reducer=reducers.DoNothingReducer()
            )
            return TripletObjective(loss, miner)
        case "contrastive":
            return Objective(losses.ContrastiveLoss(**margins, distance=distance), miner)
        case "snr_contrastive":
            loss = losses.ContrastiveLoss(
                **margins,
                distance=distance,
                embedding_regularizer=regularizers.ZeroMeanRegularizer(),
                embedding_reg_weight=ZERO_MEAN_WEIGHT,
            )
            return Objective(loss, miner)
        case "n_pairs":
            return NPairsObjective(losses.NPairsLoss(distance=distance), miner)
        case "lifted_structure":
            return Objective(losses.LiftedStructureLoss(**margins, distance=distance), miner)
        case "multi_similarity":
            return Objective(losses.MultiSimilarityLoss(distance=BoundedSNRSimilarity()), miner)
        case _:
            with seeded(settings.seed):
                loss = losses.ProxyAnchorLoss(
                    classes, settings.embedding, distance=BoundedSNRSimilarity()
                )
            return Objective(loss, lambda embeddings, labels: None)  # type: ignore[arg-type, return-value]


def label_codes(labels: np.ndarray) -> np.ndarray:
    """Labels as 0 to classes - 1, int64 array (N,)."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
