"""Networks of a tree node: trunk and embedder, and how they are initialized."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from heml.workers import seeded

_CHANNELS = (4, 24, 48, 96)


class SmallTrunk(nn.Sequential):
    """A small convolutional trunk for views of any size.

    Group normalization: the result for one image does not depend on its batch, and running
    statistics cannot drift between folds.
    """

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise(_CHANNELS)):
            size = 5 if index == 0 else 3
            layers += [
                nn.Conv2d(before, after, size, stride=2, padding=size // 2, bias=False),
                nn.GroupNorm(8, after),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class NodeNetwork(nn.Module):
    """Trunk and embedder (a multilayer perceptron) of one node.

    Parameters
    ----------
    embedding : int
        Dimensions of the embedding.
    """

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.trunk = SmallTrunk()
        self.embedder = nn.Sequential(
            nn.Linear(_CHANNELS[-1], _CHANNELS[-1]),
            nn.ReLU(inplace=True),
            nn.Linear(_CHANNELS[-1], embedding),
            # Without a common component that all images share, d_SNR cannot shrink for all pairs.
            nn.BatchNorm1d(embedding, affine=False),
        )

    def forward(self, views: Tensor) -> Tensor:
        """Embeddings of scaled views.

        Parameters
        ----------
        views : Tensor, shape (B, 4, R, R), range [-1, 1]; coverage in [0, 1]

        Returns
        -------
        Tensor, shape (B, D)
        """
        embeddings: Tensor = self.embedder(self.trunk(views))
        return embeddings


def scale_views(views: Tensor) -> Tensor:
    """uint8 views (B, 4, R, R) as float32: colours in [-1, 1], neutral 0, coverage in [0, 1]."""
    scaled = views.float()
    colours = (scaled[:, :3] - 128) / 128
    return torch.cat([colours, scaled[:, 3:] / 255], dim=1)


def new_network(embedding: int, seed: int) -> NodeNetwork:
    """A network with weights from the seed.

    All nodes of a tree share the seed, hence the initial weights: averages of trained siblings
    then stay meaningful.
    """
    with seeded(seed):
        return NodeNetwork(embedding)


def combine(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Weights that a branch starts from: the mean of its children's weights.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not states:
        raise ValueError("a branch needs the weights of at least one trained child")
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0).to(value.dtype)
        for name, value in states[0].items()
    }
