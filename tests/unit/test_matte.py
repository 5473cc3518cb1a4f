"""Mattes, patch fill and tone: planted opacities, textures and colors are found again."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from heml.recombination.imaging.matte import SOLID, estimate_matte, segment_matte, trimap_of
from heml.recombination.imaging.patch_fill import fill_patches
from heml.recombination.imaging.segmented_image import SegmentedImage
from heml.recombination.imaging.tone import (
    ACCOMPANYING_CONTRAST,
    LIGHTNESS,
    MAX_CONTRAST,
    MOST_EXPOSURE,
    MOST_SHIFT,
    bounded_tone,
)

FRONT, BACK = np.array([200.0, 60, 40]), np.array([30.0, 120, 200])


def soft_disc(side: int = 96, radius: float = 30, softness: float = 6) -> np.ndarray:
    """Opacity of a disc whose edge fades over some pixels, float (H, W)."""
    y, x = np.mgrid[:side, :side] - side / 2 + 0.5
    return np.clip((radius - np.hypot(x, y)) / softness + 0.5, 0, 1)


def composed(alpha: np.ndarray, front: np.ndarray, back: np.ndarray) -> np.ndarray:
    return (alpha[..., None] * front + (1 - alpha[..., None]) * back).round().astype(np.uint8)


def test_opacity_and_color_of_a_soft_edge():
    alpha = soft_disc()
    image = composed(alpha, FRONT, BACK)
    matte = estimate_matte(image, alpha > 0.9, (alpha > 0) & (alpha <= 0.9))
    assert_allclose(matte.alpha / 255, alpha, atol=0.06)
    mixed = (alpha > 0.2) & (alpha < 1)
    assert np.abs(matte.color[mixed] - FRONT).mean() < 8
    # Before another scene there is no rim of the old one.
    green = np.array([20.0, 220, 30])
    before = composed(matte.alpha / 255, matte.color, green)
    assert np.abs(before.astype(float) - composed(alpha, FRONT, green)).max() < 25


def test_large_pictures_are_solved_smaller():
    alpha = soft_disc(side=1500, radius=500, softness=24)
    image = composed(alpha, FRONT, BACK)
    matte = estimate_matte(image, alpha > 0.9, (alpha > 0) & (alpha <= 0.9))
    assert matte.alpha.shape == alpha.shape
    assert np.abs(matte.alpha / 255 - alpha).mean() < 0.01
    assert_array_equal(matte.color[700:800, 700:800], image[700:800, 700:800])


def test_solid_pixels_keep_their_color():
    image = np.random.default_rng(3).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    inside = np.zeros((48, 48), bool)
    inside[12:36, 12:36] = True
    matte = estimate_matte(image, inside, np.zeros_like(inside))
    assert_array_equal(matte.color[16:32, 16:32], image[16:32, 16:32])
    assert (matte.alpha[16:32, 16:32] == 255).all()
    assert (matte.alpha[:8] == 0).all()


def test_an_unclear_rim_belongs_to_neither_side():
    inside, unclear = np.zeros((2, 100, 100), bool)
    inside[30:70, 30:70] = True
    unclear[20:80, 20:80] = True
    unclear &= ~inside
    trimap = trimap_of(inside, unclear)
    assert (trimap[unclear] == 0.5).all()
    assert trimap[50, 50] == 1
    assert trimap[5, 5] == 0


@pytest.mark.parametrize("width", [1, 2, 3])
def test_thin_segments_keep_a_sure_core(width):
    inside = np.zeros((200, 200), bool)
    inside[:, 100 : 100 + width] = True
    trimap = trimap_of(inside, np.zeros_like(inside))
    assert (trimap[:, 100 : 100 + width] == 1).any(axis=1).all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (7, 3)])
def test_tiny_pictures_have_mattes(shape):
    inside = np.zeros(shape, bool)
    inside[0, 0] = True
    matte = estimate_matte(np.zeros((*shape, 3), np.uint8), inside, np.zeros(shape, bool))
    assert matte.alpha.shape == shape


def test_a_segment_without_contrast_has_a_matte():
    inside = np.zeros((40, 40), bool)
    inside[10:30, 10:30] = True
    matte = estimate_matte(np.full((40, 40, 3), 128, np.uint8), inside, np.zeros_like(inside))
    assert (matte.alpha[15:25, 15:25] == 255).all()
    agreeing = (matte.alpha >= SOLID) == inside
    assert agreeing.mean() > 0.9


def test_mattes_of_absent_and_of_all_classes():
    image = np.zeros((16, 16, 3), np.uint8)
    whole = SegmentedImage(image, {"all": np.ones((16, 16), bool)})
    assert segment_matte(whole, ["other"]) is None
    matte = segment_matte(whole, ["all"])
    assert (matte.alpha == 255).all()
    assert segment_matte(whole, ["all"]) is matte


def test_a_hole_in_stripes_gets_stripes():
    columns = np.arange(128)
    stripes = np.where(columns // 4 % 2, 220, 40).astype(np.uint8)
    image = np.repeat(np.tile(stripes, (96, 1))[..., None], 3, axis=2)
    hole = np.zeros((96, 128), bool)
    hole[30:66, 40:80] = True
    broken = image.copy()
    broken[hole] = (255, 0, 0)
    filled = fill_patches(broken, hole, ~hole)
    assert np.abs(filled[hole].astype(int) - image[hole]).mean() < 20
    assert_array_equal(filled[~hole], image[~hole])


def test_nothing_is_taken_from_what_is_neither_hole_nor_known():
    image = np.full((64, 64, 3), 100, np.uint8)
    hole, other = np.zeros((2, 64, 64), bool)
    hole[20:40, 20:40] = True
    other[:, 44:] = True
    image[other] = (255, 0, 0)
    image[hole] = (0, 255, 0)
    filled = fill_patches(image, hole, ~hole & ~other)
    assert np.abs(filled[hole].astype(int) - 100).max() < 6
    assert_array_equal(filled[other], image[other])


@pytest.mark.parametrize("shape", [(5, 5), (8, 200), (31, 33)])
def test_holes_in_pictures_of_any_shape_are_filled(shape):
    hole = np.zeros(shape, bool)
    hole[: shape[0] // 2 + 1, : shape[1] // 2 + 1] = True
    image = np.where(hole[..., None], 0, 80).astype(np.uint8).repeat(3, axis=2)
    image = image if image.shape[2] == 3 else image[..., :3]
    filled = fill_patches(image, hole, ~hole)
    assert np.abs(filled[hole].astype(int) - 80).max() <= 4


def statistics(mean, deviation) -> torch.Tensor:
    return torch.tensor([[mean, deviation]], dtype=torch.float32)


def test_colors_reach_the_wanted_mean_where_the_segment_carries_the_attribute():
    own, wanted = statistics((30, 10, 10), (8, 4, 4)), statistics((62, 4, 20), (9, 4, 4))
    contrast, shift = bounded_tone(own, wanted, torch.tensor([False]))
    assert_allclose((contrast * own[:, 0] + shift)[0], (62, 4, 20), atol=1e-4)
    assert_allclose(contrast[0], (9 / 8, 1, 1), atol=1e-6)


def test_what_accompanies_an_attribute_changes_little():
    own, wanted = statistics((30, 10, 10), (4, 4, 4)), statistics((70, 40, -40), (40, 40, 40))
    contrast, shift = bounded_tone(own, wanted, torch.tensor([True]))
    change = (contrast * own[:, 0] + shift - own[:, 0])[0]
    assert_allclose(change, (MOST_SHIFT[0], MOST_SHIFT[1], -MOST_SHIFT[2]), atol=1e-4)
    assert_allclose(contrast[0], ACCOMPANYING_CONTRAST, atol=1e-6)


def test_contrast_follows_the_light_within_its_bound():
    own, wanted = statistics((15, 5, 5), (6, 4, 4)), statistics((60, 5, 5), (30, 4, 4))
    toned, _ = bounded_tone(own, wanted, torch.tensor([False]))
    back, _ = bounded_tone(wanted, own, torch.tensor([False]))
    assert_allclose(toned[0, 0], MOST_EXPOSURE * MAX_CONTRAST[0], atol=1e-6)
    assert_allclose(back[0, 0], 1 / toned[0, 0], atol=1e-6)


def test_lights_do_not_clip():
    own, wanted = statistics((50, 0, 0), (12, 1, 1)), statistics((99, 0, 0), (12, 1, 1))
    contrast, shift = bounded_tone(own, wanted, torch.tensor([False]))
    lights = contrast * (own[:, 0] + own[:, 1]) + shift
    assert lights[0, 0] <= LIGHTNESS[1] + 1e-4
