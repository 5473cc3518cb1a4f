"""LAB against kornia's, and round trips."""

import pytest
import torch
from kornia.color import lab_to_rgb as kornia_lab_to_rgb
from kornia.color import rgb_to_lab as kornia_rgb_to_lab

from heml.recombination.imaging.lab import lab_to_rgb, rgb_to_lab


@pytest.fixture(scope="module")
def every_corner():
    """A grid over the whole of sRGB, dark ends included, (1, 3, 40, 1600)."""
    side = torch.cat([torch.linspace(0, 0.06, 12), torch.linspace(0.07, 1, 28)])
    return torch.stack(torch.meshgrid(side, side, side, indexing="ij")).reshape(1, 3, 40, 1600)


def test_as_kornia_has_it(every_corner):
    lab = rgb_to_lab(every_corner)
    torch.testing.assert_close(lab, kornia_rgb_to_lab(every_corner), atol=1e-3, rtol=0)
    # Colors beyond sRGB too, as shifts of light make them.
    for shift in (0, -30, 40):
        moved = lab + shift
        torch.testing.assert_close(lab_to_rgb(moved), kornia_lab_to_rgb(moved), atol=1e-5, rtol=0)


def test_there_and_back(every_corner):
    kept = every_corner.clone()
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(every_corner)), kept, atol=1e-4, rtol=0)
    assert torch.equal(every_corner, kept)


def test_white_black_and_gray_by_hand():
    gray = torch.tensor([1.0, 0.0, 0.5]).view(3, 1, 1, 1).expand(3, 3, 1, 1)
    lab = rgb_to_lab(gray).view(3, 3)
    # CIE: white has L 100, black 0; half of sRGB is 0.2140 linear, 116 · 0.2140^(1/3) − 16.
    expected = torch.tensor([100.0, 0.0, 53.389])
    torch.testing.assert_close(lab[:, 0], expected, atol=2e-3, rtol=0)
    assert lab[:, 1:].abs().max() < 0.02


@pytest.mark.parametrize("size", [(8, 8), (9, 9), (12, 16), (24, 56)])
def test_an_image_does_not_depend_on_its_batch(size):
    """To the last bit, also where sizes are no multiple of what a processor takes at once."""
    batch = torch.rand(5, 3, *size, generator=torch.Generator().manual_seed(0))
    lab = rgb_to_lab(batch)
    rgb = lab_to_rgb(lab)
    for row in range(len(batch)):
        assert torch.equal(rgb_to_lab(batch[row : row + 1].clone())[0], lab[row])
        assert torch.equal(lab_to_rgb(lab[row : row + 1].clone())[0], rgb[row])
