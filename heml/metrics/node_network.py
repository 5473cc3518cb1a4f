"""Networks of a tree node: trunk and embedder, and how they are initialized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from heml.compute.threads import seeded
from heml.metrics.backbone import BackboneTrunk, pretrained_trunk
from heml.metrics.distance import DEFAULT_DISTANCE, DISTANCES
from heml.metrics.metric_settings import SMALL

_CHANNELS = (4, 24, 48, 96)


class SmallTrunk(nn.Sequential):
    """A small convolutional trunk for views of any size.

    Group normalization: the result for one image does not depend on its batch, and running
    statistics cannot drift between folds.
    """

    channels = _CHANNELS[-1]

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
    distance : str, default "snr"
        Name of the distance that its embeddings are shaped for and compared by.
    trunk : BackboneTrunk, optional
        A small trunk of its own if not given.
    """

    def __init__(
        self, embedding: int, distance: str = DEFAULT_DISTANCE, trunk: BackboneTrunk | None = None
    ) -> None:
        super().__init__()
        self.trunk: SmallTrunk | BackboneTrunk = SmallTrunk() if trunk is None else trunk
        width = self.trunk.channels
        self.embedder = nn.Sequential(
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, embedding),
            # Without a common component of all images, distances cannot shrink for all pairs.
            nn.BatchNorm1d(embedding, affine=False),
        )
        self._embedding = embedding
        self.distance = DISTANCES[distance]

    @property
    def architecture(self) -> dict[str, Any]:
        """All that `network_of` needs besides the weights, as plain data."""
        backbone = None if isinstance(self.trunk, SmallTrunk) else self.trunk.description
        return {
            "embedding": self._embedding,
            "distance": self.distance.name,
            "backbone": backbone,
        }

    def forward(self, views: Tensor) -> Tensor:
        """Embeddings of scaled views.

        Parameters
        ----------
        views : Tensor, shape (B, 4, R, R), range [-1, 1]; coverage in [0, 1]

        Returns
        -------
        Tensor, shape (B, D)
        """
        return self.distance.shape(self.embedder(self.trunk(views)))


def network_of(architecture: Mapping[str, Any]) -> NodeNetwork:
    """A network of the given architecture, with weights that are to be replaced."""
    backbone = architecture["backbone"]
    trunk = None
    if backbone is not None:
        trunk = BackboneTrunk(backbone["config"], tuple(backbone["mean"]), tuple(backbone["std"]))
    return NodeNetwork(architecture["embedding"], architecture["distance"], trunk)


def scale_views(views: Tensor) -> Tensor:
    """uint8 views (B, 4, R, R) as float32: colors in [-1, 1], neutral 0, coverage in [0, 1]."""
    scaled = views.float()
    colors = (scaled[:, :3] - 128) / 128
    return torch.cat([colors, scaled[:, 3:] / 255], dim=1)


def new_network(
    embedding: int, seed: int, trunk: str = SMALL, distance: str = DEFAULT_DISTANCE
) -> NodeNetwork:
    """A network with weights from the seed, its trunk from a checkpoint unless it is small.

    All nodes of a tree share the seed and the checkpoint, hence the initial weights: averages of
    trained siblings then stay meaningful.
    """
    with seeded(seed):
        pretrained = None if trunk == SMALL else pretrained_trunk(trunk)
        return NodeNetwork(embedding, distance, pretrained)


def combine(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Weights that a branch starts from: the mean of its children's weights.

    Trunks of checkpoints too: children that were tuned from one checkpoint lie in one basin, where
    averages of weights work (Wortsman et al., "Model soups", ICML 2022).

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
