"""`python -m benchmarks.kernels`: image operations of recombination against the libraries' own.

Every pair computes the same thing. A table says how far results are apart, how much longer the
library takes in processor time of one thread, and whether its result for an image is the same, to
the last bit, alone and in a batch: recombination promises that. An own operation stays where the
library takes more than 1.5 times as long or breaks that promise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import kornia
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from benchmarks.tables import table
from heml.recombination.imaging.lab import lab_to_rgb, rgb_to_lab
from heml.recombination.imaging.pyramid import (
    binomial_blur,
    blur,
    dilate,
    downsample2x,
    erode,
    upsample2x,
)
from heml.recombination.imaging.windows import warp

#: Images of a batch, turns of which the least time counts, and calls per turn.
BATCH, TURNS, CALLS = 4, 7, 4
SIGMA, RADIUS = 3.0, 4
Operation = Callable[[Tensor, Tensor], Tensor]


def operations(matrices: np.ndarray) -> dict[str, tuple[Operation, Operation, str]]:
    """Own operation, the library's, and the library's name, by what they do.

    Each takes a batch (B, 3, H, W) in [0, 1] and a bool mask (B, 1, H, W).
    """
    square = torch.ones(2 * RADIUS + 1, 2 * RADIUS + 1)
    taps = torch.tensor([[0.25, 0.5, 0.25]])
    reach = 2 * int(3 * SIGMA + 0.5) + 1

    def affine(image: Tensor, _: Tensor) -> Tensor:
        own = torch.from_numpy(matrices[: len(image)]).float()
        size = (image.shape[-2], image.shape[-1])
        return kornia.geometry.warp_affine(
            image, own, size, padding_mode="border", align_corners=True
        )

    def affine_labels(image: Tensor, mask: Tensor) -> Tensor:
        own = torch.from_numpy(matrices[: len(image)]).float()
        size = (image.shape[-2], image.shape[-1])
        # Ours warps a label map along: the library is asked twice.
        kornia.geometry.warp_affine(mask.float(), own, size, mode="nearest", align_corners=True)
        return affine(image, mask)

    def ours_warped(image: Tensor, mask: Tensor) -> Tensor:
        size = (image.shape[-2], image.shape[-1])
        return warp(image, mask.float(), matrices[: len(image)], size)[0]

    return {
        "sRGB to LAB": (
            lambda x, _: rgb_to_lab(x),
            lambda x, _: kornia.color.rgb_to_lab(x),
            "kornia.color.rgb_to_lab",
        ),
        "LAB to sRGB": (
            lambda x, _: lab_to_rgb(x * 100),
            lambda x, _: kornia.color.lab_to_rgb(x * 100),
            "kornia.color.lab_to_rgb",
        ),
        f"Gaussian blur, sigma {SIGMA:g}": (
            lambda x, _: blur(x, SIGMA),
            lambda x, _: kornia.filters.gaussian_blur2d(
                x, (reach, reach), (SIGMA, SIGMA), border_type="replicate"
            ),
            "kornia.filters.gaussian_blur2d",
        ),
        "binomial blur, 3 × 3": (
            lambda x, _: binomial_blur(x),
            lambda x, _: kornia.filters.filter2d_separable(x, taps, taps, "replicate"),
            "kornia.filters.filter2d_separable",
        ),
        f"dilation, {2 * RADIUS + 1} × {2 * RADIUS + 1}": (
            lambda _, m: dilate(m, RADIUS),
            lambda _, m: kornia.morphology.dilation(m.float(), square) > 0.5,
            "kornia.morphology.dilation",
        ),
        f"erosion, {2 * RADIUS + 1} × {2 * RADIUS + 1}": (
            lambda _, m: erode(m, RADIUS),
            lambda _, m: kornia.morphology.erosion(m.float(), square) > 0.5,
            "kornia.morphology.erosion",
        ),
        "half size": (
            lambda x, _: downsample2x(x),
            lambda x, _: avg_pool2d(x, 2),
            "torch avg_pool2d",
        ),
        "double size": (
            lambda x, _: upsample2x(x),
            lambda x, _: interpolate(x, scale_factor=2, mode="bilinear"),
            "torch interpolate",
        ),
        "affine warp of image and labels": (
            ours_warped,
            affine_labels,
            "kornia.geometry.warp_affine",
        ),
    }


def measured(size: int) -> list[list[str]]:
    """A row of the table for each operation."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((BATCH, 3, size, size), np.float32))
    image = kornia.filters.gaussian_blur2d(image, (9, 9), (2.0, 2.0))
    y, x = np.mgrid[:size, :size]
    disc = torch.from_numpy(np.hypot(x - size / 2, y - size / 2) < size / 3)
    mask = disc.expand(BATCH, 1, size, size).contiguous()
    turn = np.deg2rad(7)
    matrix = [[np.cos(turn), -np.sin(turn), 5.3], [np.sin(turn), np.cos(turn), -3.1]]
    rows = []
    for name, (own, library, called) in operations(np.array([matrix] * BATCH)).items():
        apart = (own(image, mask).float() - library(image, mask).float()).abs().max()
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(TURNS):
            for times, operation in zip(seconds, (own, library), strict=True):
                started = time.process_time()
                for _ in range(CALLS):
                    operation(image, mask)
                times.append(time.process_time() - started)
        ratio = min(seconds[1]) / min(seconds[0])
        same = [_same_in_any_batch(operation, image, mask) for operation in (own, library)]
        rows.append(
            [name, called, f"{float(apart):.1e}", f"{ratio:.1f}"]
            + ["yes" if found else "no" for found in same]
        )
    return rows


def _same_in_any_batch(operation: Operation, image: Tensor, mask: Tensor) -> bool:
    """Whether each image's result is the same bits alone and in the batch."""
    together = operation(image, mask)
    return all(
        torch.equal(operation(image[i : i + 1], mask[i : i + 1])[0], together[i])
        for i in range(len(image))
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 256])
    parser.add_argument("--out", type=Path, help="Markdown file")
    arguments = parser.parse_args()
    heads = ["operation", "library", "apart", "its time ÷ ours", "ours same", "its same"]
    text = "\n\n".join(
        f"{BATCH} images of {size} px:\n\n{table(heads, measured(size))}"
        for size in arguments.sizes
    )
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
