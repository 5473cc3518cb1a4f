"""Miners: which pairs or triplets of a batch a loss learns from."""

from __future__ import annotations

from collections.abc import Callable

from pytorch_metric_learning import miners
from pytorch_metric_learning.utils import loss_and_miner_utils as pairing
from torch import Tensor

from heml.metrics.library_distances import LibraryDistance, LibrarySimilarity
from heml.metrics.loss import LossContext

Indices = tuple[Tensor, ...]
#: Embeddings (B, D), labels (B,) → the indices of pairs (4) or triplets (3) to learn from.
Miner = Callable[[Tensor, Tensor], Indices]


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


def build_miner(context: LossContext, default: str = "all", triplets: bool = False) -> Miner:
    """The miner that a recipe names.

    Parameters
    ----------
    context : LossContext
    default : str
        What "default" stands for.
    triplets : bool
        Whether the loss learns from triplets; from pairs otherwise.
    """
    chosen = default if context.miner == "default" else context.miner
    if chosen == "all":
        return _All(pairing.get_all_triplets_indices if triplets else pairing.get_all_pairs_indices)
    if chosen == "multi_similarity":
        return miners.MultiSimilarityMiner(distance=LibrarySimilarity(context.distance))
    distance = LibraryDistance(context.distance)
    if chosen == "hard":
        return miners.BatchHardMiner(distance=distance)
    return miners.TripletMarginMiner(context.margin, "semihard", distance=distance)


def no_miner(embeddings: Tensor, labels: Tensor) -> Indices:
    """For losses that need neither pairs nor triplets."""
    return ()
