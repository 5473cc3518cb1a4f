"""Our SNR distance against the library's class: time and memory of all pairs and their gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pytorch_metric_learning import distances

from benchmarks.clock import fastest, peak_tensor_bytes
from heml.metrics.distance import DISTANCES
from heml.metrics.library_distances import LibraryDistance


def snr_speed(rows: int, dimensions: int, rounds: int = 3) -> dict[str, float]:
    """Seconds of processor time and peak tensor bytes, distance and backward pass together.

    Parameters
    ----------
    rows : int
        N of the (N, D) embeddings; all N × N pairs are measured.
    dimensions : int
    rounds : int
    """
    torch.manual_seed(0)
    embeddings = torch.randn(rows, dimensions, requires_grad=True)
    own, library = (
        LibraryDistance(DISTANCES["snr"]),
        distances.SNRDistance(normalize_embeddings=False),
    )

    def passes(distance: torch.nn.Module) -> Callable[[], None]:
        def both() -> None:
            embeddings.grad = None
            distance(embeddings).sum().backward()

        return both

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            gap = (own(embeddings) - library(embeddings)).abs().max().item()
        passes(own)()
        seconds = fastest({"own": passes(own), "library": passes(library)}, rounds)
        more = fastest({"own": passes(own)}, 10 * rounds)  # short enough to repeat
        memory = {
            name: peak_tensor_bytes(passes(distance))
            for name, distance in (("own", own), ("library", library))
        }
    finally:
        torch.set_num_threads(threads)
    return {
        "rows": rows,
        "dimensions": dimensions,
        "largest_difference": gap,
        "own_s": min(seconds["own"], more["own"]),
        "library_s": seconds["library"],
        "own_bytes": memory["own"],
        "library_bytes": memory["library"],
    }
