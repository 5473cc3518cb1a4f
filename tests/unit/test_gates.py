"""What the gates measure, on hand-made images; limits from real ones."""

import numpy as np
import pytest

from heml.recombination.gates.not_duplicate import NotDuplicate
from heml.recombination.gates.seam_hidden import SeamHidden
from heml.recombination.gates.segment_found import SegmentFound
from heml.recombination.imaging.matte import SOLID, segment_matte
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.judging.judge import Gates
from heml.recombination.judging.limits import (
    duplicate_limit,
    overlap,
    presence_limit,
    vote_limit,
)
from heml.recombination.judging.near_duplicates import changed, hash_distance, perceptual_hash
from heml.recombination.judging.seam import real_border, sample_seam, seam_numbers
from heml.recombination.judging.seam_limits import border_limits, calibrate_seam

SIDE = 72


def textured(seed: int) -> SegmentedImage:
    """A disc with a softly drawn edge on a ground, both with fine grain."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    y, x = rng.uniform(30, 42, 2)
    distance = np.hypot(rows - y, columns - x) - rng.uniform(14, 18)
    share = 1 / (1 + np.exp(distance / 1.2))[..., None]
    ground, disc = rng.uniform(60, 110, 3), rng.uniform(130, 190, 3)
    image = ground + share * (disc - ground) + rng.normal(0, 5, (SIDE, SIDE, 1))
    mask = distance < 0
    return SegmentedImage(image.clip(0, 255).astype(np.uint8), {"disc": mask, "ground": ~mask})


@pytest.fixture(scope="module")
def segmented_images():
    return [textured(seed) for seed in range(80)]


def borders(segmented_images):
    mattes = [segment_matte(p, ["disc"]) for p in segmented_images]
    return [
        real_border(p.image, m.alpha >= SOLID)
        for p, m in zip(segmented_images, mattes, strict=True)
    ]


@pytest.fixture(scope="module")
def limits(segmented_images):
    found, refused = border_limits(borders(segmented_images))
    assert refused < 0.15  # 0.05 aimed at, 80 images
    return found


def pasted(segmented_image: SegmentedImage, image: np.ndarray) -> Recombined:
    mask = segmented_image.masks["disc"]
    return Recombined(image, segmented_image.masks, pasted=mask, filled=np.zeros_like(mask))


def test_new_real_borders_pass(limits):
    fresh = [pasted(p, p.image) for p in (textured(seed) for seed in range(100, 160))]
    refused = [limits.conspicuous(sample_seam(s, ["disc"])) > 1 for s in fresh]
    assert np.mean(refused) < 0.2


def test_a_hard_edge_is_seen(limits):
    segmented_image = textured(200)
    image = segmented_image.image.copy()
    image[segmented_image.masks["disc"]] = np.clip(
        image[segmented_image.masks["disc"]].astype(int) + [60, -50, 40], 0, 255
    )
    seam = sample_seam(pasted(segmented_image, image), ["disc"])
    assert seam.step > limits.high.step
    assert limits.conspicuous(seam) > 1


def test_a_smear_is_seen(limits):
    segmented_image = textured(201)
    image = segmented_image.image.copy()
    image[segmented_image.masks["disc"]] = image[segmented_image.masks["disc"]].mean(axis=0)
    seam = sample_seam(pasted(segmented_image, image), ["disc"])
    assert seam.detail < limits.low.detail
    assert limits.conspicuous(seam) > 1


def test_a_blurred_fill_is_seen(limits):
    segmented_image = textured(202)
    hole = np.zeros((SIDE, SIDE), bool)
    hole[2:14, 2:30] = True
    image = segmented_image.image.copy()
    image[hole] = image[hole].mean(axis=0)
    seam = sample_seam(Recombined(image, segmented_image.masks, filled=hole), ["disc"])
    assert seam.filled < limits.low.filled
    assert limits.conspicuous(seam) > 1


def test_nothing_pasted_nothing_measured(limits):
    segmented_image = textured(0)
    seam = sample_seam(Recombined(segmented_image.image, segmented_image.masks), ["disc"])
    assert np.isnan(seam).all()
    assert limits.conspicuous(seam) == 0


def test_step_of_a_drawn_edge_by_hand():
    """Flat halves: 100 against 1 beside it, in LAB units: log((n 100 + 1) / (n + 1))."""
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 20:] = 255
    mask = np.zeros((20, 40), bool)
    mask[:, 20:] = True
    seam = seam_numbers(image, mask, np.zeros_like(mask), mask)
    assert seam.step == pytest.approx(np.log((20 * 100 + 1) / (20 + 1)), abs=1e-3)


def test_few_borders_give_no_limits(segmented_images):
    assert calibrate_seam(borders(segmented_images[:5])) is None
    assert border_limits(borders(segmented_images[:5]))[0] is None
    assert border_limits([])[0] is None


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 2)])
def test_tiny_pictures_are_measured_without_a_crash(size):
    image, mask = np.full((*size, 3), 90, np.uint8), np.zeros(size, bool)
    mask[0, 0] = True
    real_border(image, mask)
    sample_seam(Recombined(image, {"disc": mask}, pasted=mask, filled=mask), ["disc"])


def test_votes_ask_for_a_majority_unless_real_records_miss_it():
    groups = np.repeat([0, 1], 100)
    sure = np.full(200, 0.9)
    assert vote_limit(sure, groups, values=2).value == 0.5
    unsure = sure.copy()
    unsure[:20] = 0.3  # a tenth of all, counting groups equally
    limit = vote_limit(unsure, groups, values=2)
    assert limit.value == 0.3
    assert limit.refused == 0
    # Groups count equally: a small group's failures are not outvoted by a large one.
    uneven = np.concatenate([np.full(1000, 0.9), np.full(2, 0.2)])
    assert vote_limit(uneven, np.repeat([0, 1], [1000, 2]), values=2).value == 0.2
    assert vote_limit(np.zeros(0), np.zeros(0, int), values=4).value == 0.25


def test_hashes_tell_copies_from_others(segmented_images):
    image = segmented_images[0].image
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 3, image.shape), 0, 255)
    assert hash_distance(image, image) == 0
    assert hash_distance(image, noisy.astype(np.uint8)) < 0.1
    limit = duplicate_limit([perceptual_hash(p.image) for p in segmented_images])
    assert 0 < limit.value <= 10 / 64
    assert limit.refused < 0.01
    assert duplicate_limit([]).value == 0


def test_changed_pixels_by_hand():
    image = np.full((10, 10, 3), 100, np.uint8)
    other = image.copy()
    other[:2] += 9
    other[2:4] += 8  # not visible
    assert changed(other, image) == pytest.approx(0.2)


def gates(segmented_images, resegment=None, limits=None):
    """Gates whose real images come in batches of seven; a node is a class."""

    def real(count):
        for start in range(0, len(segmented_images[:count]), 7):
            yield segmented_images[:count][start : start + 7]

    limits = limits or {}
    asked = {
        "not_duplicate": NotDuplicate(limits.get("not_duplicate")),
        "seam_hidden": SeamHidden(limits.get("seam_hidden")),
        "segment_found": SegmentFound(limits.get("segment_found"), resegment is not None),
    }
    return Gates(asked, lambda node: [node], real, resegment=resegment)


def test_limits_are_measured_in_one_pass_and_once(segmented_images):
    """What is asked together is what is asked one by one, and needs no images again."""
    together = gates(segmented_images)
    together.calibrate([["disc"], ["ground"], ["disc", "ground"], ["no_such_class"]])
    one_by_one = gates(segmented_images)
    for nodes in (["disc"], ["ground"], ["disc", "ground"], ["no_such_class"]):
        one_by_one.calibrate([nodes])
    assert together.limits == one_by_one.limits
    assert together.limits["seam_hidden"]["disc",] == border_limits(borders(segmented_images))
    # A segment that is the whole image has no border.
    assert together.limits["seam_hidden"]["disc", "ground"][0] is None
    again = gates([], limits=together.limits)
    again.calibrate([["disc"], ["ground"]])
    assert again.describe() == together.describe()


def test_what_was_calibrated_is_described(segmented_images):
    asked = gates(segmented_images)
    asked.calibrate([["disc"], ["no_such_class"]])
    described = asked.describe()
    assert described["seam_hidden/disc"]["n"] == len(segmented_images)
    assert described["seam_hidden/no_such_class"] == "skipped: too few real borders"
    assert described["not_duplicate"]["n"] == len(segmented_images)


def test_segments_that_are_found_again(segmented_images):
    def shifted(by):
        def find(images):
            by_bytes = {p.image.tobytes(): p for p in segmented_images}
            found = [by_bytes[image.tobytes()].masks["disc"] for image in images]
            return [{"disc": np.roll(mask, by, axis=1)} for mask in found]

        return find

    def limit_of(by):
        asked = gates(segmented_images, shifted(by))
        asked.calibrate([["disc"]])
        return asked.limits["segment_found"]["disc",]

    # Who finds real segments to the pixel, having made them, must not ask that of others.
    for by in (0, 1):
        limit = limit_of(by)
        assert (limit.value, limit.refused, limit.n) == (0.5, 0, len(segmented_images))
    width = int(segmented_images[0].masks["disc"].any(axis=0).sum())
    assert 0 < limit_of(width // 2).value < 0.45
    assert presence_limit([]).value == 0
    assert overlap({"disc": segmented_images[0].masks["disc"]}, segmented_images[0], ["disc"]) == 1
    assert overlap({}, segmented_images[0], ["disc"]) == 0
    assert overlap({}, segmented_images[0], ["hat"]) == 1
