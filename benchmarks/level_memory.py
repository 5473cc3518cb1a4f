"""Peak bytes of tensors while a level trains, and while the baseline does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.baseline_whole_image import library_loss, training_step, whole_image_network
from benchmarks.clock import peak_tensor_bytes
from heml.compute.device import choose_device
from heml.compute.threads import processors
from heml.metrics.identity import resolution_of
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.network_training import train_network
from heml.metrics.parallelism import networks_at_once
from heml.taxonomy import Taxonomy

STEPS = 3


def level_memory(tree: Taxonomy, settings: MetricSettings, sizes: Sequence[int]) -> dict[str, Any]:
    """Peaks of every level and of the baseline at each size, at the same batch size.

    A level trains as many networks side by side as there are processors, but no more than
    `networks_at_once`: its peak is the sum of those of its most expensive nodes. Here the most it
    may be on any machine stands beside that of this one.

    Parameters
    ----------
    tree : Taxonomy
    settings : MetricSettings
    sizes : sequence of int
        Sides of the baseline's input.
    """
    available = processors()
    device = choose_device(settings.device)
    sides = {node: resolution_of(node, tree, settings) for node in tree.nodes}
    network = {side: _network_peak(side, settings) for side in set(sides.values())}
    levels = []
    for number, nodes in enumerate(tree.levels):
        peaks = sorted((network[sides[node]] for node in nodes), reverse=True)
        each = [peak for peak in peaks for _ in range(settings.folds + 1)]
        most = networks_at_once(max(sides[node] for node in nodes), settings, device)
        here, anywhere = each[: min(most, available)], each[:most]
        levels.append(
            {
                "level": number,
                "networks": len(here),
                "bytes": sum(here),
                "most_networks": len(anywhere),
                "most_bytes": sum(anywhere),
            }
        )
    return {
        "batch_size": settings.batch_size,
        "network": {str(side): peak for side, peak in sorted(network.items())},
        "levels": levels,
        "baseline": {str(size): _baseline_peak(size, settings) for size in sizes},
    }


def _network_peak(side: int, settings: MetricSettings) -> int:
    rng = np.random.default_rng(0)
    count = settings.batch_size * STEPS
    views = rng.integers(0, 256, (count, 4, side, side), np.uint8)
    once = settings.model_copy(update={"epochs": 1})
    labels = np.arange(count) % 2
    device = choose_device(settings.device)
    return peak_tensor_bytes(
        lambda: train_network(views, np.arange(count), labels, once, None, seed=0, device=device),
        device,
    )


def _baseline_peak(size: int, settings: MetricSettings) -> int:
    rng = np.random.default_rng(0)
    shape = (settings.batch_size, 3, size, size)
    labels = torch.arange(settings.batch_size) % 2
    device = choose_device(settings.device)

    def train() -> object:
        network = whole_image_network(settings.embedding, settings.seed)
        network.to(device, memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
        criterion = library_loss(settings.margin)
        for _ in range(STEPS):
            images = torch.from_numpy(rng.integers(0, 256, shape, np.uint8))
            training_step(network, criterion, optimizer, images, labels, rng, device)
        return network

    return peak_tensor_bytes(train, device)
