"""Batches of windows: pieces of pictures of any size, cut to a few common sizes.

An operator touches a window of its host. Windows are as large as the next of a few sizes, so that
many edits share a tensor; which ones do never changes what comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

#: Window sides: few, so that batches fill; dense, so that little is computed in vain.
_SIDES = (32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024)
#: Pixels of one batch: its tensors then stay in the processor's cache, and memory flat.
BATCH_PIXELS = 1 << 18
#: Label of pixels outside the picture, beside `NO_CLASS` and the class indices.
OUTSIDE = -2


class Window(NamedTuple):
    """Left and top corner, which may lie outside the picture, and size, in pixels."""

    x: int
    y: int
    height: int
    width: int


def side_for(length: int) -> int:
    """The smallest window side for a length."""
    for side in _SIDES:
        if length <= side:
            return side
    return -(-length // 256) * 256


def window_around(box: tuple[float, float, float, float], size: tuple[int, int]) -> Window:
    """The window that holds a box (left, top, right, bottom), inside the picture where it fits."""
    left, top, right, bottom = (int(np.floor(v)) for v in (*box[:2], -(-box[2] // 1), -(-box[3] // 1)))
    height, width = side_for(bottom - top), side_for(right - left)
    x = min(max(left - (width - right + left) // 2, 0), max(size[1] - width, 0))
    y = min(max(top - (height - bottom + top) // 2, 0), max(size[0] - height, 0))
    return Window(x, y, height, width)


def cut(array: np.ndarray, window: Window) -> np.ndarray:
    """A window of an array (H, W) or (H, W, C); beyond its border the last pixels go on."""
    height, width = array.shape[:2]
    y1, x1 = window.y + window.height, window.x + window.width
    inside = array[max(window.y, 0) : min(y1, height), max(window.x, 0) : min(x1, width)]
    if inside.shape[:2] == (window.height, window.width):
        return inside
    rows = np.clip(np.arange(window.y, y1), 0, height - 1)
    columns = np.clip(np.arange(window.x, x1), 0, width - 1)
    return array[rows[:, None], columns]


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


def colours(pieces: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """uint8 pieces (H, W, 3) as a float batch (B, 3, H, W) in [0, 1]."""
    batch = torch.from_numpy(np.stack(pieces)).to(device)
    return batch.permute(0, 3, 1, 2).float().div_(255)


def pixels(batch: Tensor) -> np.ndarray:
    """A float batch (B, 3, H, W) in [0, 1] as uint8 array (B, H, W, 3)."""
    scaled = batch.mul(255).round_().clamp_(0, 255).to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def planes(pieces: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Label pieces (H, W) as an int64 batch (B, 1, H, W)."""
    return torch.from_numpy(np.stack(pieces)).to(device).long()[:, None]
