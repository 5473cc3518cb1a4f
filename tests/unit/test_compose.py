"""Operators: what must change, what must not, and hand-made pictures."""

import numpy as np
import pytest
import torch

from heml.recombination.align import align_donor, fit_similarity_transform
from heml.recombination.blend import laplacian_blend, transfer_tone
from heml.recombination.compose import Picture, compose
from heml.recombination.fill import fill_holes
from heml.taxonomy import Taxonomy

TAXONOMY = Taxonomy(
    "toy",
    leaves={"background": ("background",), "disc": ("disc",), "eye": ("eye",), "spot": ("spot",)},
    tree={"face": ("disc", "eye", "spot"), "image": ("background", "face")},
)


def picture(
    background: tuple[int, int, int],
    spot: tuple[int, int, int] | None,
    centre: tuple[int, int] = (32, 32),
    size: tuple[int, int] = (64, 64),
) -> Picture:
    """A grey disc with two eyes and perhaps a spot, before a plain background."""
    rows, columns = np.mgrid[: size[0], : size[1]]

    def circle(y: float, x: float, radius: float) -> np.ndarray:
        return (rows - centre[1] - y) ** 2 + (columns - centre[0] - x) ** 2 <= radius**2

    parts = {"eye": circle(-7, -8, 3) | circle(-7, 8, 3), "spot": circle(8, 0, 5)}
    if spot is None:
        del parts["spot"]
    disc = circle(0, 0, 20)
    for mask in parts.values():
        disc = disc & ~mask
    masks = {**parts, "disc": disc, "background": ~circle(0, 0, 20)}
    colours = {"background": background, "disc": (128, 128, 128), "eye": (10, 10, 10), "spot": spot}
    image = np.zeros((*size, 3), np.uint8)
    for name, mask in masks.items():
        image[mask] = colours[name]
    return Picture(image, {name: mask for name, mask in masks.items() if mask.any()})


RED, BLUE = (220, 40, 40), (40, 40, 220)
WHITE, BLACK = (240, 240, 240), (15, 15, 15)


def test_similarity_transform_comes_back():
    rng = np.random.default_rng(0)
    turn, scale = 0.2, 1.3
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    source = rng.normal(size=(6, 2)) * 10
    target = source @ rotation.T + [3, -2]
    matrix = fit_similarity_transform(source, target, rng.random(6) + 0.1)
    np.testing.assert_allclose(matrix, np.column_stack([rotation, [3, -2]]), atol=1e-9)


def test_one_point_gives_a_shift():
    matrix = fit_similarity_transform(np.array([[1.0, 2.0]]), np.array([[4.0, 6.0]]), np.ones(1))
    np.testing.assert_allclose(matrix, [[1, 0, 3], [0, 1, 4]])


def test_donor_is_brought_to_the_host():
    host, donor = picture(WHITE, RED, centre=(40, 30)), picture(WHITE, RED, centre=(28, 34))
    matrix = align_donor(TAXONOMY, ["spot"], host.masks, donor.masks)
    np.testing.assert_allclose(matrix, [[1, 0, 12], [0, 1, -4]], atol=0.2)


def test_holes_take_their_surroundings_and_known_pixels_stay():
    values = torch.full((1, 3, 33, 47), 0.3)
    known = torch.ones(1, 1, 33, 47)
    known[..., 10:25, 10:30] = 0
    values[..., 10:25, 10:30] = 0.9
    filled = fill_holes(values, known)
    torch.testing.assert_close(filled, torch.full_like(filled, 0.3), atol=1e-4, rtol=0)


def test_filling_is_between_the_known_values_and_survives_no_known_pixel():
    values = torch.rand(2, 1, 20, 31)
    known = (torch.rand(2, 1, 20, 31) > 0.7).float()
    filled = fill_holes(values, known)
    assert (filled >= -1e-5).all()
    assert (filled <= 1 + 1e-5).all()
    assert torch.isfinite(fill_holes(values, torch.zeros_like(known))).all()


def test_blend_is_exact_far_from_the_seam_and_for_odd_sizes():
    base, top = torch.rand(1, 3, 101, 75), torch.rand(1, 3, 101, 75)
    torch.testing.assert_close(laplacian_blend(base, top, torch.zeros(1, 1, 101, 75)), base)
    torch.testing.assert_close(laplacian_blend(base, top, torch.ones(1, 1, 101, 75)), top)


def test_tone_of_the_reference():
    image = torch.full((1, 3, 8, 8), 0.2)
    reference = torch.full((1, 3, 6, 6), 0.7)
    everywhere = torch.ones(1, 1, 8, 8), torch.ones(1, 1, 6, 6)
    toned = transfer_tone(image, everywhere[0], reference, everywhere[1])
    torch.testing.assert_close(toned, torch.full_like(image, 0.7), atol=0.01, rtol=0)


def test_transplant_moves_the_segment_and_leaves_the_rest():
    host, donor = picture(WHITE, RED), picture(BLACK, BLUE, centre=(30, 34))
    result = compose("transplant", host, donor, ["spot"], TAXONOMY)
    spot = result.image[result.masks["spot"]].mean(axis=0)
    assert spot[2] > 150
    assert spot[0] < 90
    far = ~host.masks["spot"] & ~result.masks["spot"]
    rows, columns = np.mgrid[:64, :64]
    far &= (rows - 40) ** 2 + (columns - 32) ** 2 > 15**2
    np.testing.assert_array_equal(result.image[far], host.image[far])


def test_recolour_keeps_masks_and_everything_outside():
    host, donor = picture(WHITE, RED), picture(BLACK, BLUE)
    result = compose("recolour", host, donor, ["background"], TAXONOMY)
    assert result.image[result.masks["background"]].mean() < 60
    inner = host.masks["eye"]
    np.testing.assert_array_equal(result.image[inner], host.image[inner])
    for name, mask in host.masks.items():
        np.testing.assert_array_equal(result.masks[name], mask)


def test_background_exchange_hides_the_donor():
    host = picture(WHITE, RED, centre=(20, 32))
    donor = picture(BLUE, RED, centre=(44, 32))
    result = compose("background", host, donor, ["background"], TAXONOMY)
    behind = result.image[result.masks["background"]].astype(int)
    # No trace of the donor's grey disc: all of it is filled with the donor's background.
    assert np.abs(behind - BLUE).max(axis=1).mean() < 12
    assert result.image[result.masks["spot"]][:, 0].mean() > 190


def test_insert_and_remove():
    bare, spotted = picture(WHITE, None), picture(WHITE, RED)
    inserted = compose("insert", bare, spotted, ["spot"], TAXONOMY)
    assert inserted.masks["spot"].sum() > 40
    assert inserted.image[inserted.masks["spot"]][:, 0].mean() > 170
    removed = compose("remove", spotted, bare, ["spot"], TAXONOMY)
    assert "spot" not in removed.masks
    where = spotted.masks["spot"]
    assert np.abs(removed.image[where].astype(int) - 128).max() < 40
    assert removed.masks["disc"][where].mean() > 0.9


def test_masks_stay_a_partition():
    host, donor = picture(WHITE, RED), picture(BLACK, BLUE, centre=(29, 35))
    for operator in ("transplant", "recolour", "background"):
        nodes = ["background"] if operator == "background" else ["spot"]
        result = compose(operator, host, donor, nodes, TAXONOMY)
        assert (np.sum(list(result.masks.values()), axis=0) == 1).all()


def test_host_and_donor_of_other_sizes():
    host = picture(WHITE, RED, size=(64, 80))
    donor = picture(BLACK, BLUE, size=(96, 64))
    for operator, node in (
        ("transplant", "spot"),
        ("background", "background"),
        ("recolour", "spot"),
    ):
        result = compose(operator, host, donor, [node], TAXONOMY)
        assert result.image.shape == host.image.shape


def test_protected_leaves_are_not_covered():
    host, donor = picture(WHITE, None), picture(WHITE, RED)
    donor.masks["spot"][:] = False
    donor.masks["spot"][15:50, 15:50] = True
    result = compose("insert", host, donor, ["spot"], TAXONOMY, protected=["eye"])
    assert (result.masks["eye"] == host.masks["eye"]).all()


def test_one_pixel_segments_and_segments_at_the_border():
    host, donor = picture(WHITE, RED), picture(BLACK, BLUE)
    for mask in (host.masks["spot"], donor.masks["spot"]):
        mask[:] = False
    host.masks["spot"][0, 0] = True
    donor.masks["spot"][63, 63] = True
    result = compose("transplant", host, donor, ["spot"], TAXONOMY)
    assert result.image.shape == (64, 64, 3)


def test_unknown_operator():
    with pytest.raises(ValueError, match="unknown operator 'glue'"):
        compose("glue", picture(WHITE, RED), picture(WHITE, RED), ["spot"], TAXONOMY)
