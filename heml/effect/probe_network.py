"""The small network that compares training sets: it exists for nothing else."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from heml.compute.device import to_device

#: Features are pooled to this many groups a side before the last layer.
POOLED = 4


def small_network(classes: int) -> nn.Sequential:
    """A plain convolutional network that sees small cues: it pools only after convolving.

    Parameters
    ----------
    classes : int
        Number of label values.

    Returns
    -------
    nn.Sequential
        (B, 3, S, S) → (B, classes). The last module is the linear layer.
    """
    layers: list[nn.Module] = []
    before = 3
    for after, kernel, stride in ((16, 5, 2), (32, 3, 1), (64, 3, 1), (96, 3, 1)):
        layers += [
            nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
        if stride == 1:
            layers.append(nn.MaxPool2d(2))
        before = after
    head = nn.Linear(before * POOLED**2, classes)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(POOLED), nn.Flatten(), head)


def as_input(images: np.ndarray, device: torch.device) -> Tensor:
    """A batch for the network, on a device.

    Parameters
    ----------
    images : uint8 array (B, 3, S, S)
    device : torch.device
    """
    batch = (to_device(images, device).float() - 127.5) / 64
    return batch.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def run(network: nn.Module, images: np.ndarray, batch: int = 256) -> np.ndarray:
    """Outputs of a network or of a part of it, on its device, float array (N, D)."""
    device = next(network.parameters()).device
    parts = [network(as_input(images[i : i + batch], device)) for i in range(0, len(images), batch)]
    return torch.cat(parts).float().cpu().numpy()


def predict(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Predicted classes, int array (N,)."""
    return run(network, images).argmax(1)
