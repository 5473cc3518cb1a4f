"""Grain: what interpolation takes from noise is given back, and edges do not ring."""

import numpy as np
import pytest
import torch

from heml.recombination.imaging.grain import AMPLITUDE, MOST, with_grain
from heml.recombination.imaging.scenery_placement import place_scenery
from heml.recombination.imaging.windows import warp


def picture(noise: float, seed: int = 0) -> torch.Tensor:
    """Two flat halves with noise, (1, 3, 64, 64)."""
    rng = np.random.default_rng(seed)
    plane = np.where(np.arange(64) < 32, 0.3, 0.7)[None, None, None] + np.zeros((1, 3, 64, 64))
    return torch.from_numpy(plane + rng.normal(0, noise, plane.shape)).float().clamp(0, 1)


def between_pixels(image: torch.Tensor) -> torch.Tensor:
    matrix = np.array([[[1.0, 0, 0.5], [0, 1.0, 0.5]]] * len(image))
    return warp(image, torch.ones_like(image[:, :1]), matrix, (64, 64))[0]


def detail(image: torch.Tensor) -> float:
    plane = image[0, 1, 2:-2, 2:28]
    return float(plane.diff(n=2, dim=1).abs().mean())


ALL = torch.ones(1, 1, 64, 64, dtype=torch.bool)


def test_noise_has_its_strength_again():
    image = picture(0.01)
    smooth = between_pixels(image)
    assert detail(smooth) < 0.55 * detail(image)
    restored = with_grain(smooth, ALL, image, ALL)
    assert detail(restored) == pytest.approx(detail(image), rel=0.15)


def test_an_edge_changes_by_no_more_than_grain():
    image = picture(0.0)
    smooth = between_pixels(image)
    change = (with_grain(smooth, ALL, image, ALL) - smooth).abs().max()
    assert change <= MOST * AMPLITUDE + 1e-6


def test_what_lost_nothing_stays_to_the_bit():
    image = picture(0.02)
    assert torch.equal(with_grain(image, ALL, image, ALL), image)
    nothing = torch.zeros_like(ALL)
    assert torch.equal(with_grain(image, nothing, image, ALL), image)


def test_a_picture_does_not_depend_on_its_batch():
    images = torch.cat([picture(noise, seed) for seed, noise in enumerate((0.01, 0.03, 0.0))])
    masks = ALL.expand(3, 1, 64, 64)
    smooth = between_pixels(images)
    together = with_grain(smooth, masks, images, masks)
    for place in range(3):
        part = slice(place, place + 1)
        alone = with_grain(smooth[part], masks[part], images[part], masks[part])
        assert torch.equal(alone[0], together[place])


def test_scenery_of_its_own_size_is_moved_by_whole_pixels():
    # Wider scenery, whose hole is to come 9.75 pixels further to the left.
    cast, hole = (30, 20, 51, 41), (40, 20, 60.5, 41)
    matrix = place_scenery((60, 80), (60, 100), cast, hole)
    assert (matrix == [[1, 0, -10], [0, 1, 0]]).all()
    # Of the same size it has nowhere to go.
    matrix = place_scenery((60, 80), (60, 80), None, None)
    assert (matrix == [[1, 0, 0], [0, 1, 0]]).all()
