"""The detector of recombined images: a small network that sees colors and fine detail."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from heml.compute.device import mixed_precision, to_device
from heml.compute.threads import seeded
from heml.metrics.node_network import SmallTrunk


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


def train_detector(
    images: np.ndarray,
    train: np.ndarray,
    recombined: np.ndarray,
    steps: int,
    batch_size: int,
    seed: int,
    device: torch.device,
) -> nn.Module:
    """A network whose logit is high for recombined images.

    Parameters
    ----------
    images : uint8 array (N, 3, S, S)
    train : int array
        Rows to train on; of both kinds.
    recombined : bool array (N,)
    steps, batch_size : int
        Half of each batch is real, half recombined.
    seed : int
    device : torch.device
    """
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
def detector_scores(network: nn.Module, images: np.ndarray, device: torch.device) -> np.ndarray:
    """Logits of images, float array (N,)."""
    parts = [
        network(_scaled(images[start : start + 256], device)).cpu().numpy()
        for start in range(0, len(images), 256)
    ]
    return np.concatenate(parts).astype(float)
