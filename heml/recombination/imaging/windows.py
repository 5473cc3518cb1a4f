"""Batches of windows: pieces of images of any size, cut to a few common sizes.

An operator touches a window of its host. Windows are as large as the next of a few sizes, so that
many edits share a tensor; which ones do never changes what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

#: Window sides: few, so that batches fill; dense, so that little is computed for nothing.
_SIDES = (32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024)
#: Sides of donors' pieces: fewer still, since little is computed on them.
PIECE_SIDES = (64, 128, 192, 256, 384, 512, 768, 1024)
#: Pixels of one batch: its tensors then stay in the processor's cache, and memory flat.
BATCH_PIXELS = 1 << 18
#: Label of pixels outside the image, beside `NO_CLASS` and the class indices.
OUTSIDE = -2


class Window(NamedTuple):
    """Left and top corner, which may lie outside the image, and size, in pixels."""

    x: int
    y: int
    height: int
    width: int


def side_for(length: int, sides: Sequence[int] = _SIDES) -> int:
    """The smallest window side for a length."""
    for side in sides:
        if length <= side:
            return side
    return -(-length // 256) * 256


def window_around(
    box: tuple[float, float, float, float], size: tuple[int, int], sides: Sequence[int] = _SIDES
) -> Window:
    """The window that holds a box (left, top, right, bottom), inside the image where it fits."""
    left, top = math.floor(box[0]), math.floor(box[1])
    right, bottom = math.ceil(box[2]), math.ceil(box[3])
    height, width = side_for(bottom - top, sides), side_for(right - left, sides)
    x = min(max(left - (width - right + left) // 2, 0), max(size[1] - width, 0))
    y = min(max(top - (height - bottom + top) // 2, 0), max(size[0] - height, 0))
    return Window(x, y, height, width)


def cut(array: np.ndarray, window: Window) -> np.ndarray:
    """A window of an array (H, W) or (H, W, C); beyond the border, pixels repeat."""
    height, width = array.shape[:2]
    y1, x1 = window.y + window.height, window.x + window.width
    inside = array[max(window.y, 0) : min(y1, height), max(window.x, 0) : min(x1, width)]
    if inside.shape[:2] == (window.height, window.width):
        return inside
    result = np.empty((window.height, window.width, *array.shape[2:]), array.dtype)
    rows = np.clip(np.arange(window.y, y1), 0, height - 1)
    left, right = min(max(-window.x, 0), window.width), min(max(width - window.x, 0), window.width)
    # Slices of rows are copied: indexing every pixel takes ten times as long.
    result[:, left:right] = array[rows, max(window.x, 0) : min(x1, width)]
    result[:, :left] = array[rows, :1]
    result[:, right:] = array[rows, -1:]
    return result


def pasted_back(image: np.ndarray, piece: np.ndarray, window: Window) -> np.ndarray:
    """A copy of an image (H, W, 3) with a window of it replaced, as far as it lies inside."""
    result = image.copy()
    place = result[window.y : window.y + window.height, window.x : window.x + window.width]
    place[:] = piece[: place.shape[0], : place.shape[1]]
    return result


def cut_labels(labels: np.ndarray, window: Window) -> np.ndarray:
    """A window of a label map; beyond its border is `OUTSIDE`."""
    height, width = labels.shape
    piece = cut(labels, window)
    if window.y >= 0 and window.x >= 0:
        if window.y + window.height <= height and window.x + window.width <= width:
            return piece
        piece = piece.copy()
        piece[max(height - window.y, 0) :] = OUTSIDE
        piece[:, max(width - window.x, 0) :] = OUTSIDE
    return piece


def colors(pieces: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """uint8 pieces (H, W, 3) as a float batch (B, 3, H, W) in [0, 1]."""
    # Channel by channel in memory while a pixel is still a byte: all that follows runs along rows.
    batch = np.empty((len(pieces), 3, *pieces[0].shape[:2]), np.uint8)
    for place, piece in zip(batch, pieces, strict=True):
        for channel in range(3):
            place[channel] = piece[..., channel]
    return torch.from_numpy(batch).to(device).float().div_(255)


def pixels(batch: Tensor) -> np.ndarray:
    """A float batch (B, 3, H, W) in [0, 1] as uint8 array (B, H, W, 3)."""
    # Through int16: straight to bytes takes twice the time on a CPU.
    scaled = batch.mul(255).round_().to(torch.int16).to(torch.uint8).cpu().numpy()
    result = np.empty((len(scaled), *scaled.shape[2:], 3), np.uint8)
    for channel in range(3):
        result[..., channel] = scaled[:, channel]
    return result


def warp(
    image: Tensor, labels: Tensor, matrices: np.ndarray, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Warps pieces of donors into windows of hosts.

    Parameters
    ----------
    image : Tensor, shape (B, 3, h, w)
        Interpolated; beyond its border the last pixels go on.
    labels : Tensor, shape (B, 1, h, w), float
        The nearest is taken; 0 beyond the border.
    matrices : float array (B, 2, 3)
        From pixels (x, y) of the pieces to pixels of the windows.
    size : tuple
        Height and width of the windows.
    """
    linear = np.linalg.inv(matrices[:, :, :2])
    back = np.concatenate([linear, -linear @ matrices[:, :, 2:]], axis=2)
    # Pixels of the pieces as `grid_sample` counts them: from -1 to 1.
    back *= 2 / (np.array([[image.shape[-1]], [image.shape[-2]]]) - 1)
    back[:, :, 2] -= 1
    step = torch.from_numpy(back).float().to(image.device)[..., None, None]
    x = torch.arange(size[1], device=image.device)
    y = torch.arange(size[0], device=image.device)[:, None]
    grid = image.new_empty(len(image), *size, 2)
    for axis in (0, 1):
        column = step[:, axis, 1] * y + step[:, axis, 2]
        torch.add(step[:, axis, 0] * x, column, out=grid[..., axis])
    return (
        grid_sample(image, grid, padding_mode="border", align_corners=True),
        grid_sample(labels, grid, mode="nearest", align_corners=True),
    )


def planes(pieces: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Pieces (H, W) as a batch (B, 1, H, W) of their own type."""
    return torch.from_numpy(np.stack(pieces)).to(device)[:, None]
