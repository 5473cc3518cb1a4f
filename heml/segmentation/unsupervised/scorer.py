"""A small network on the features of superpixels, learned from values that were guessed before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from heml.compute.threads import seeded

_WIDTH, _STEPS, _BATCH, _RATE = 32, 400, 2048, 5e-3


class Scorer(nn.Module):
    """Two hidden layers over standardized features.

    Parameters
    ----------
    features : int
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.layers = nn.Sequential(
            nn.Linear(features, _WIDTH),
            nn.ReLU(),
            nn.Linear(_WIDTH, _WIDTH),
            nn.ReLU(),
            nn.Linear(_WIDTH, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Logits, (n,), from features, (n, f)."""
        return self.layers(((features - self.mean) / self.deviation).clamp(-5, 5))[:, 0]

    def score(self, features: np.ndarray) -> np.ndarray:
        """How much each superpixel is object, 0 to 1, (n,)."""
        with torch.inference_mode():
            return self(torch.from_numpy(features)).sigmoid().double().numpy()


def fit_scorer(
    features: Sequence[np.ndarray],
    values: Sequence[np.ndarray],
    areas: Sequence[np.ndarray],
    seed: int,
) -> Scorer:
    """Fits values by features over all images: what images contradict each other in averages out.

    Parameters
    ----------
    features : sequence of ndarray of float32, shape (n, f)
        Of the superpixels of each image.
    values : sequence of ndarray of float64, shape (n,)
        0 to 1.
    areas : sequence of ndarray of float64, shape (n,)
        Weights.
    seed : int
    """
    x = torch.from_numpy(np.concatenate(features))
    y = torch.from_numpy(np.concatenate(values)).float()
    w = torch.from_numpy(np.concatenate(areas)).float()
    w = w / w.mean()
    with seeded(seed):
        model = Scorer(x.shape[1])
        model.mean.copy_(x.mean(0))
        model.deviation.copy_(x.std(0, correction=0).clamp(min=1e-6))
        optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
        for _ in range(_STEPS):
            chosen = torch.randint(len(x), (_BATCH,))
            loss = binary_cross_entropy_with_logits(model(x[chosen]), y[chosen], w[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()
