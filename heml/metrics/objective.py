"""What training minimizes: a loss of pytorch-metric-learning with its miner."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heml.metrics.miners import Miner


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
        value = self.loss(embeddings, labels, self._miner(embeddings, labels) or None)
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
