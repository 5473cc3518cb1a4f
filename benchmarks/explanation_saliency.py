"""The usual way to explain a metric: saliency on one network over whole images, per segment.

Captum's Grad-CAM (at the trunk's last activation) and occlusion attribute the distance of a pair to
the pixels of each image while the other is held fixed; both images' attributions are summed per
segment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam, Occlusion
from PIL import Image as PILImage
from torch import Tensor, nn

from benchmarks.baseline_whole_image import (
    library_loss,
    scaled,
    training_step,
    whole_image_network,
    whole_images,
)
from heml.metrics.distance import DISTANCES
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.network_training import balanced_batches
from heml.metrics.views import union
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

SIDE = 128
#: Window and stride of the occlusion, in pixels of the network's input.
WINDOW, STRIDE = 16, 8
Segments = Mapping[str, np.ndarray]


def train_whole_image_network(
    store: Store, labels: np.ndarray, train: np.ndarray, settings: MetricSettings
) -> nn.Module:
    """A whole-image network with the library's triplet loss, as many epochs as a node has.

    Parameters
    ----------
    labels : int array (N,)
    train : int array
        Rows of the train split.
    """
    images = whole_images(store, SIDE)
    known = torch.from_numpy(labels)
    network = whole_image_network(settings.embedding, settings.seed)
    criterion = library_loss(settings.margin)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    rng = np.random.default_rng(settings.seed)
    network.train()
    for _ in range(settings.epochs):
        for chosen in balanced_batches(labels[train], settings.batch_size, rng):
            rows = torch.from_numpy(train[chosen])
            training_step(network, criterion, optimizer, images[rows], known[rows], rng)
    return network.eval()


def network_input(pixels: np.ndarray) -> Tensor:
    """An image as the network sees it, float (1, 3, SIDE, SIDE)."""
    resized = PILImage.fromarray(pixels).resize((SIDE, SIDE), PILImage.Resampling.BILINEAR)
    return scaled(torch.from_numpy(np.asarray(resized).transpose(2, 0, 1).copy())[None])


def pair_distance(network: nn.Module, a: Tensor, b: Tensor) -> float:
    """Bounded d_SNR of two inputs."""
    with torch.inference_mode():
        measured = DISTANCES["snr"].bounded_rowwise(network(a), network(b))
    return float(measured)


def grad_cam(network: nn.Module, image: Tensor, other: Tensor) -> np.ndarray:
    """Attribution of the distance to the pixels of one image, float (SIDE, SIDE)."""
    explainer = LayerGradCam(_distance_to(network, other), network.trunk[-3])
    coarse = explainer.attribute(image)
    fine = LayerAttribution.interpolate(coarse, (SIDE, SIDE), "bilinear")
    return fine[0].sum(dim=0).detach().numpy()


def occlusion(network: nn.Module, image: Tensor, other: Tensor) -> np.ndarray:
    """Likewise, by covering windows with the neutral color."""
    explainer = Occlusion(_distance_to(network, other))
    with torch.no_grad():
        found = explainer.attribute(
            image, (3, WINDOW, WINDOW), (3, STRIDE, STRIDE), baselines=0, perturbations_per_eval=64
        )
    return found[0].mean(dim=0).numpy()


def _distance_to(network: nn.Module, other: Tensor) -> Callable[[Tensor], Tensor]:
    with torch.no_grad():
        fixed = network(other)
    return _Distance(network, fixed)


class _Distance(nn.Module):
    """Distance of inputs to one embedding, float (B,)."""

    def __init__(self, network: nn.Module, fixed: Tensor) -> None:
        super().__init__()
        self._network = network
        self._fixed = fixed

    def forward(self, images: Tensor) -> Tensor:
        embeddings = self._network(images)
        return DISTANCES["snr"].bounded_rowwise(embeddings, self._fixed.expand(len(embeddings), -1))


METHODS: dict[str, Callable[[nn.Module, Tensor, Tensor], np.ndarray]] = {
    "Grad-CAM": grad_cam,
    "occlusion": occlusion,
}


def by_leaf(attribution: np.ndarray, segments: Segments, taxonomy: Taxonomy) -> dict[str, float]:
    """Sum over the pixels of each leaf; 0 where it is absent."""
    sums = {}
    for leaf in taxonomy.leaves:
        mask = union(segments, taxonomy.classes_of(leaf))
        if mask is None:
            sums[leaf] = 0.0
            continue
        small = PILImage.fromarray(mask).resize((SIDE, SIDE), PILImage.Resampling.NEAREST)
        sums[leaf] = float(attribution[np.asarray(small)].sum())
    return sums
