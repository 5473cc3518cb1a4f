"""Operators: what must change, what must not, and hand-made images."""

import numpy as np
import pytest
import torch

from heml.compute.threads import worker_pool
from heml.recombination.compositing.align import align_donor
from heml.recombination.compositing.compose import Edit, SegmentedImage, compose, compose_batch
from heml.recombination.imaging.blend import laplacian_blend
from heml.recombination.imaging.fill import fill_holes, fill_scenery
from heml.recombination.imaging.masked import where
from heml.recombination.imaging.pyramid import dilate, downsample2x, upsample2x
from heml.recombination.imaging.similarity_transform import MAX_TURN, fit_similarity_transform
from heml.taxonomy import Taxonomy

TAXONOMY = Taxonomy(
    "toy",
    leaves={"background": ("background",), "disc": ("disc",), "eye": ("eye",), "spot": ("spot",)},
    tree={"face": ("disc", "eye", "spot"), "image": ("background", "face")},
)


def segmented_image(
    background: tuple[int, int, int],
    spot: tuple[int, int, int] | None,
    center: tuple[int, int] = (32, 32),
    size: tuple[int, int] = (64, 64),
) -> SegmentedImage:
    """A gray disc with two eyes and perhaps a spot, before a plain background."""
    rows, columns = np.mgrid[: size[0], : size[1]]

    def circle(y: float, x: float, radius: float) -> np.ndarray:
        return (rows - center[1] - y) ** 2 + (columns - center[0] - x) ** 2 <= radius**2

    parts = {"eye": circle(-7, -8, 3) | circle(-7, 8, 3), "spot": circle(8, 0, 5)}
    if spot is None:
        del parts["spot"]
    disc = circle(0, 0, 20)
    for mask in parts.values():
        disc = disc & ~mask
    masks = {**parts, "disc": disc, "background": ~circle(0, 0, 20)}
    colors = {"background": background, "disc": (128, 128, 128), "eye": (10, 10, 10), "spot": spot}
    image = np.zeros((*size, 3), np.uint8)
    for name, mask in masks.items():
        image[mask] = colors[name]
    return SegmentedImage(image, {name: mask for name, mask in masks.items() if mask.any()})


RED, BLUE = (220, 40, 40), (40, 40, 220)
WHITE, BLACK = (240, 240, 240), (15, 15, 15)


def test_similarity_transform_comes_back():
    rng = np.random.default_rng(0)
    turn, scale = 0.2, 1.3
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    source = rng.normal(size=(6, 2)) * 10
    target = source @ rotation.T + [3, -2]
    points = source @ [1, 1j], target @ [1, 1j]
    found = fit_similarity_transform(*points, rng.random(6) + 0.1)
    np.testing.assert_allclose(found.residuals(*points), 0, atol=1e-9)
    np.testing.assert_allclose(found.matrix(), np.column_stack([rotation, [3, -2]]), atol=1e-9)


def test_one_point_gives_a_shift():
    found = fit_similarity_transform(np.array([1 + 2j]), np.array([4 + 6j]), np.ones(1))
    np.testing.assert_allclose(found.matrix(), [[1, 0, 3], [0, 1, 4]])


def test_points_without_weight_do_not_count_and_fits_are_by_row():
    source = np.array([[0, 1, 2 + 1j, 99], [0, 1, 1j, 5]])
    target = np.array([[3, 5, 7 + 2j, -40j], [0, 1j, -1, 7]])
    found = fit_similarity_transform(source, target, np.array([1.0, 1, 1, 0]) * np.ones((2, 1)))
    np.testing.assert_allclose(found.scale, [2, 1])
    # The second turns by a right angle, which is more than is allowed.
    np.testing.assert_allclose(found.turn, [0, MAX_TURN])


def test_donor_is_brought_to_the_host():
    host, donor = (
        segmented_image(WHITE, RED, center=(40, 30)),
        segmented_image(WHITE, RED, center=(28, 34)),
    )
    matrix = align_donor(TAXONOMY, ["spot"], host, donor)
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


def test_blend_is_exact_where_one_image_shows_alone():
    base, top = torch.rand(1, 3, 48, 64), torch.rand(1, 3, 48, 64)

    def blend(share: float) -> torch.Tensor:
        weights = [torch.full((1, 1, 48 // k, 64 // k), share) for k in (1, 2)]
        return laplacian_blend(base, top, *weights, torch.ones(1, 1, 48, 64))

    assert torch.equal(blend(0.0), base)
    torch.testing.assert_close(blend(1.0), top)


def test_shading_does_not_pass_over_an_edge():
    """A bright disc before black: beyond its outline there is no glow."""
    y, x = np.mgrid[:48, :64]
    disc = torch.from_numpy(np.hypot(x - 32, y - 24) < 12)[None, None]
    base, top = torch.zeros(1, 3, 48, 64), torch.ones(1, 3, 48, 64)
    wide = downsample2x(dilate(disc, 4).float())
    result = laplacian_blend(base, top, disc.float(), wide, torch.zeros(1, 1, 48, 64))
    torch.testing.assert_close(result, disc.float().expand_as(result))


def test_halving_undoes_doubling_of_smooth_images():
    ramp = torch.linspace(0, 1, 16).expand(1, 1, 12, 16)
    torch.testing.assert_close(
        downsample2x(upsample2x(ramp))[..., 1:-1], ramp[..., 1:-1], atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("radius", range(10))
def test_growing_by_a_radius(radius):
    mask = torch.zeros(1, 1, 15, 17, dtype=torch.bool)
    mask[..., 7, 8] = True
    rows, columns = np.mgrid[:15, :17]
    wanted = (abs(rows - 7) <= radius) & (abs(columns - 8) <= radius)
    np.testing.assert_array_equal(dilate(mask, radius)[0, 0].numpy(), wanted)


def test_transplant_moves_the_segment_and_leaves_the_rest():
    host, donor = segmented_image(WHITE, RED), segmented_image(BLACK, BLUE, center=(30, 34))
    result = compose("transplant", host, donor, ["spot"], TAXONOMY)
    spot = result.image[result.masks["spot"]].mean(axis=0)
    assert spot[2] > 150
    assert spot[0] < 90
    far = ~host.masks["spot"] & ~result.masks["spot"]
    rows, columns = np.mgrid[:64, :64]
    far &= (rows - 40) ** 2 + (columns - 32) ** 2 > 15**2
    np.testing.assert_array_equal(result.image[far], host.image[far])


def test_recolor_keeps_masks_and_everything_outside():
    host, donor = segmented_image(WHITE, RED), segmented_image(BLACK, BLUE)
    result = compose("recolor", host, donor, ["background"], TAXONOMY)
    assert result.image[result.masks["background"]].mean() < 60
    inner = host.masks["eye"]
    np.testing.assert_array_equal(result.image[inner], host.image[inner])
    for name, mask in host.masks.items():
        np.testing.assert_array_equal(result.masks[name], mask)


def test_background_exchange_hides_the_donor():
    host = segmented_image(WHITE, RED, center=(20, 32))
    donor = segmented_image(BLUE, RED, center=(44, 32))
    result = compose("background", host, donor, ["background"], TAXONOMY)
    behind = result.image[result.masks["background"]].astype(int)
    # No trace of the donor's gray disc: all of it is filled with the donor's background.
    assert np.abs(behind - BLUE).max(axis=1).mean() < 12
    assert result.image[result.masks["spot"]][:, 0].mean() > 190


def test_insert_and_remove():
    cream = (240, 235, 205)  # a host without any color would take a gray spot
    bare, spotted = segmented_image(cream, None), segmented_image(cream, RED)
    inserted = compose("insert", bare, spotted, ["spot"], TAXONOMY)
    assert inserted.masks["spot"].sum() > 40
    assert inserted.image[inserted.masks["spot"]][:, 0].mean() > 170
    removed = compose("remove", spotted, bare, ["spot"], TAXONOMY)
    assert "spot" not in removed.masks
    where = spotted.masks["spot"]
    assert np.abs(removed.image[where].astype(int) - 128).max() < 40
    assert removed.masks["disc"][where].mean() > 0.9


def test_what_a_removal_uncovers_is_the_donors():
    """A bar before the eyes is taken away: the donor shows that there are eyes behind."""
    host, donor = segmented_image(WHITE, RED), segmented_image(WHITE, None)
    bar = np.zeros((64, 64), bool)
    bar[20:31, 16:48] = True
    for mask in host.masks.values():
        mask &= ~bar
    host.image[bar] = RED
    masks = {n: m for n, m in host.masks.items() if n not in ("spot", "eye")} | {"spot": bar}
    result = compose("remove", SegmentedImage(host.image, masks), donor, ["spot"], TAXONOMY)
    assert "spot" not in result.masks
    eyes = donor.masks["eye"]
    # The bar takes from the disc, whose center is what aligns the two: it is off by a pixel.
    assert (result.masks["eye"] & eyes).sum() > 0.6 * eyes.sum()
    assert result.image[result.masks["eye"]].mean() < 60


def test_a_removal_without_another_image_fills_from_the_surroundings():
    host = segmented_image(WHITE, RED)
    result = compose("remove", host, host, ["spot"], TAXONOMY)
    assert "spot" not in result.masks
    assert np.abs(result.image[host.masks["spot"]].astype(int) - 128).max() < 40


def test_masks_stay_a_partition():
    host, donor = segmented_image(WHITE, RED), segmented_image(BLACK, BLUE, center=(29, 35))
    for operator in ("transplant", "recolor", "background"):
        nodes = ["background"] if operator == "background" else ["spot"]
        result = compose(operator, host, donor, nodes, TAXONOMY)
        assert (np.sum(list(result.masks.values()), axis=0) == 1).all()


def test_host_and_donor_of_other_sizes():
    host = segmented_image(WHITE, RED, size=(64, 80))
    donor = segmented_image(BLACK, BLUE, size=(96, 64))
    for operator, node in (
        ("transplant", "spot"),
        ("background", "background"),
        ("recolor", "spot"),
    ):
        result = compose(operator, host, donor, [node], TAXONOMY)
        assert result.image.shape == host.image.shape


def test_protected_leaves_are_not_covered():
    host, donor = segmented_image(WHITE, None), segmented_image(WHITE, RED)
    donor.masks["spot"][:] = False
    donor.masks["spot"][15:50, 15:50] = True
    result = compose("insert", host, donor, ["spot"], TAXONOMY, protected=["eye"])
    assert (result.masks["eye"] == host.masks["eye"]).all()


def test_one_pixel_segments_and_segments_at_the_border():
    host, donor = segmented_image(WHITE, RED), segmented_image(BLACK, BLUE)
    for mask in (host.masks["spot"], donor.masks["spot"]):
        mask[:] = False
    host.masks["spot"][0, 0] = True
    donor.masks["spot"][63, 63] = True
    result = compose("transplant", host, donor, ["spot"], TAXONOMY)
    assert result.image.shape == (64, 64, 3)


def test_unknown_operator():
    with pytest.raises(ValueError, match="no operator 'glue'"):
        compose(
            "glue", segmented_image(WHITE, RED), segmented_image(WHITE, RED), ["spot"], TAXONOMY
        )


def noisy(seed: int, size: tuple[int, int] = (64, 64)) -> SegmentedImage:
    rng = np.random.default_rng(seed)
    color = tuple(rng.integers(60, 250, 3).tolist())
    center = (int(rng.integers(28, 36)), int(rng.integers(28, 36)))
    drawn = segmented_image(tuple(rng.integers(0, 255, 3).tolist()), color, center, size)
    image = np.clip(drawn.image + rng.normal(0, 6, drawn.image.shape), 0, 255).astype(np.uint8)
    return SegmentedImage(image, drawn.masks)


def test_a_sample_does_not_depend_on_its_batch():
    kinds = [("transplant", "spot"), ("recolor", "disc"), ("background", "background")]
    edits = [
        Edit(operator, noisy(seed), noisy(seed + 100, size), [node])
        for seed, size in enumerate([(64, 64), (64, 80), (96, 64), (64, 64), (64, 64)])
        for operator, node in kinds
    ]
    together = compose_batch(edits, TAXONOMY)
    with worker_pool() as pool:
        threaded = compose_batch(edits[::-1], TAXONOMY, pool=pool)[::-1]
    for edit, one, other in zip(edits, together, threaded, strict=True):
        alone = compose(edit.operator, edit.host, edit.donor, edit.nodes, TAXONOMY)
        for result in (one, other):
            np.testing.assert_array_equal(result.image, alone.image)
            assert result.masks.keys() == alone.masks.keys()
            for name, mask in alone.masks.items():
                np.testing.assert_array_equal(result.masks[name], mask)


def test_an_image_recombined_with_itself_hardly_changes():
    host = noisy(3)
    for operator, node in (("transplant", "spot"), ("recolor", "disc")):
        result = compose(operator, host, host, [node], TAXONOMY)
        difference = np.abs(result.image.astype(int) - host.image)
        assert difference.mean() < 0.3
        assert result.masks["spot"].sum() == host.masks["spot"].sum()


def test_a_larger_segment_is_not_shrunk_to_the_old_one():
    host, donor = segmented_image(WHITE, RED), segmented_image(BLACK, BLUE)
    rows, columns = np.mgrid[:64, :64]
    small = (rows - 40) ** 2 + (columns - 32) ** 2 <= 2**2
    host.masks["disc"][:] |= host.masks["spot"] & ~small
    host.masks["spot"][:] = small
    result = compose("transplant", host, donor, ["spot"], TAXONOMY)
    assert result.masks["spot"].sum() > 0.8 * donor.masks["spot"].sum()


def test_what_was_behind_comes_from_the_donor():
    """A large spot gives way to a small one: around it the donor's striped disc shows."""
    host, donor = segmented_image(WHITE, RED), segmented_image(WHITE, None)
    stripes = np.where(np.arange(64) % 4 < 2, 100, 156).astype(np.uint8)
    inside = donor.masks["disc"]
    donor.image[inside] = np.repeat(np.tile(stripes, (64, 1))[inside][:, None], 3, axis=1)
    result = compose("remove", host, donor, ["spot"], TAXONOMY)
    assert result.pasted is not None
    assert (result.pasted & host.masks["spot"]).sum() > 0.9 * host.masks["spot"].sum()
    assert result.image[host.masks["spot"]].astype(float).std() > 10


def test_a_gray_host_stays_gray():
    host, donor = segmented_image(WHITE, RED), segmented_image(WHITE, BLUE)
    gray = SegmentedImage(
        np.repeat(host.image.mean(2, keepdims=True).astype(np.uint8), 3, 2), host.masks
    )
    result = compose("transplant", gray, donor, ["spot"], TAXONOMY)
    assert np.ptp(result.image.astype(int), axis=2).max() <= 3


def test_a_segment_that_its_photograph_cuts_is_told():
    donor = segmented_image(WHITE, RED, center=(32, 54))  # the spot reaches beyond the lower border
    cut = compose("transplant", segmented_image(WHITE, RED), donor, ["spot"], TAXONOMY)
    whole = compose(
        "transplant", segmented_image(WHITE, RED), segmented_image(WHITE, RED), ["spot"], TAXONOMY
    )
    assert whole.cut_off == 0
    assert cut.cut_off > 0.1


@pytest.mark.parametrize("operator", ["transplant", "insert", "remove", "recolor", "background"])
def test_bad_input_gives_a_valid_picture(operator):
    node = "background" if operator == "background" else "spot"
    plain = segmented_image(WHITE, RED)
    empty = SegmentedImage(plain.image, {})
    blank = SegmentedImage(plain.image, {**plain.masks, "spot": np.zeros((64, 64), bool)})
    dot = np.zeros((64, 64), bool)
    dot[63, 0] = True
    pixel = SegmentedImage(plain.image, {"spot": dot, "background": ~dot})
    everything = SegmentedImage(plain.image, {"background": np.ones((64, 64), bool)})
    tiny = SegmentedImage(np.full((3, 2, 3), 90, np.uint8), {"spot": np.ones((3, 2), bool)})
    for host in (plain, empty, blank, pixel, everything, tiny):
        for donor in (plain, empty, blank, pixel, everything, tiny):
            result = compose(operator, host, donor, [node], TAXONOMY)
            assert result.image.shape == host.image.shape
            assert result.image.dtype == np.uint8
            assert all(mask.shape == host.size for mask in result.masks.values())
            assert all(mask.any() or name in host.masks for name, mask in result.masks.items())


def test_holes_in_scenery_keep_its_grain():
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(0.5, 0.1, (2, 1, 64, 96)).astype(np.float32))
    image = image.repeat(1, 3, 1, 1)
    known = torch.ones(2, 1, 64, 96, dtype=torch.bool)
    known[..., 20:50, 30:60] = False
    grain = torch.tensor([True, False])[:, None, None, None]
    filled = fill_scenery(image, known, grain)
    assert torch.equal(filled[known.expand_as(image)], image.clamp(0, 1)[known.expand_as(image)])
    inside = filled[..., 24:46, 34:56]
    assert inside[0].std() > 0.07
    assert inside[1].std() < 0.03
    assert abs(float(inside.mean()) - 0.5) < 0.03


def test_a_foreground_keeps_its_outline_before_a_new_background():
    host, donor = segmented_image(WHITE, RED), segmented_image(BLUE, RED)
    result = compose("background", host, donor, ["background"], TAXONOMY)
    changed = result.masks["background"] ^ host.masks["background"]
    assert changed.sum() < 0.05 * host.masks["disc"].sum()
    np.testing.assert_array_equal(result.pasted, result.masks["background"])
    # Nothing of the white that was behind it is left.
    assert result.image.min(axis=2).max() < 200


def test_places_of_segments_that_overlap():
    """The last mask owns a pixel; moments and boxes are those of the pixels that are left."""
    rng = np.random.default_rng(3)
    masks = {name: rng.random((9, 14)) < 0.4 for name in ("a", "b", "c")}
    masks["d"] = np.zeros((9, 14), bool)
    segmented_image = SegmentedImage(np.zeros((9, 14, 3), np.uint8), masks)
    assert segmented_image.place(["d"]) is None
    for classes in (["a"], ["b", "c"], ["c", "d"]):
        own = np.zeros((9, 14), bool)
        for name in masks:
            own = (own | masks[name]) if name in classes else (own & ~masks[name])
        y, x = np.nonzero(own)
        place = segmented_image.place(classes)
        assert place.area == own.sum()
        np.testing.assert_allclose(place.center, [x.mean(), y.mean()])
        np.testing.assert_allclose(place.spread, [x.std(), y.std()])
        assert place.box == (x.min(), y.min(), x.max() + 1, y.max() + 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16])
def test_choosing_by_a_mask_is_exact(dtype):
    rng = np.random.default_rng(0)
    inside, outside = (torch.from_numpy(rng.normal(0, 99, (2, 3, 5, 7))).to(dtype) for _ in "ab")
    mask = torch.from_numpy(rng.random((2, 1, 5, 7)) < 0.5)
    assert torch.equal(where(mask, inside, outside), torch.where(mask, inside, outside))
