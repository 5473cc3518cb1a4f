"""Peak bytes of tensors while a level trains, and while the baseline does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.baseline_whole_image import library_loss, training_step, whole_image_network
from benchmarks.clock import peak_tensor_bytes
from heml.metrics.level import resolution_of
from heml.metrics.training import train_network
from heml.settings import MetricSettings
from heml.taxonomy import Taxonomy

STEPS = 3


def level_memory(tree: Taxonomy, settings: MetricSettings, sizes: Sequence[int]) -> dict[str, Any]:
    """Peaks of every level and of the baseline at each size, at the same batch size.

    A level trains as many networks side by side as there are processors: its peak is the sum of
    those of its most expensive nodes.

    Parameters
    ----------
    tree : Taxonomy
    settings : MetricSettings
    sizes : sequence of int
        Sides of the baseline's input.
    """
    workers = os.cpu_count() or 1
    network = {
        side: _network_peak(side, settings)
        for side in {resolution_of(node, tree, settings) for node in tree.nodes}
    }
    levels = []
    for number, nodes in enumerate(tree.levels):
        each = [network[resolution_of(node, tree, settings)] for node in nodes]
        side_by_side = sorted(each * (settings.folds + 1), reverse=True)[:workers]
        levels.append({"level": number, "networks": len(side_by_side), "bytes": sum(side_by_side)})
    return {
        "batch_size": settings.batch_size,
        "workers": workers,
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
    return peak_tensor_bytes(
        lambda: train_network(views, np.arange(count), labels, once, None, seed=0)
    )


def _baseline_peak(size: int, settings: MetricSettings) -> int:
    rng = np.random.default_rng(0)
    shape = (settings.batch_size, 3, size, size)
    labels = torch.arange(settings.batch_size) % 2

    def train() -> object:
        network = whole_image_network(settings.embedding, settings.seed)
        network.to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
        criterion = library_loss(settings.margin)
        for _ in range(STEPS):
            images = torch.from_numpy(rng.integers(0, 256, shape, np.uint8))
            training_step(network, criterion, optimizer, images, labels, rng)
        return network

    return peak_tensor_bytes(train)
