"""Colors of what stays the host's: on flat images one can say what must come out."""

from dataclasses import replace

import numpy as np
import pytest

from heml.compute.threads import worker_pool
from heml.recombination.attribution.label_colors import colors_that_encode_label
from heml.recombination.attribution.leaf_colors import measure_leaf_colors
from heml.recombination.compositing.color_statistics import LEAST, measure_colors
from heml.recombination.compositing.compose import Edit, compose_batch
from heml.recombination.imaging.segmented_image import SegmentedImage
from heml.taxonomy import Taxonomy

TAXONOMY = Taxonomy(
    "toy",
    leaves={name: (name,) for name in ("background", "shirt", "coat", "shoe", "face", "mouth")},
    tree={
        "clothes": ("shirt", "coat"),
        "head": ("face", "mouth"),
        "image": ("background", "clothes", "head", "shoe"),
    },
)
#: Left, top, right and bottom of each segment; the mouth lies in the face.
BOXES = {
    "shirt": (4, 24, 28, 44),
    "coat": (32, 24, 60, 44),
    "shoe": (20, 50, 40, 60),
    "face": (20, 2, 44, 20),
    "mouth": (28, 12, 36, 16),
}
#: Gray, red and blue within what an accompanying segment may change by.
GRAY, RED, BLUE, PINK = (120, 120, 120), (134, 118, 112), (110, 119, 130), (210, 120, 130)
#: Nothing lies within this of a segment's outline: there colors pass into one another.
EDGE = 3


def segmented_image(noise=0, **colors) -> SegmentedImage:
    """Flat segments before white, those that are given a color."""
    image, masks = np.full((64, 64, 3), 250, np.uint8), {}
    free = np.ones((64, 64), bool)
    for name, color in colors.items():
        left, top, right, bottom = BOXES[name]
        masks[name] = np.zeros((64, 64), bool)
        masks[name][top:bottom, left:right] = True
        image[masks[name]] = color
        free &= ~masks[name]
    if "mouth" in masks and "face" in masks:
        masks["face"] &= ~masks["mouth"]
    grain = np.random.default_rng(0).normal(0, noise, (64, 64, 1))
    return SegmentedImage(
        (image + grain).clip(0, 255).astype(np.uint8), {**masks, "background": free}
    )


def recolored(host, donor, leaves, protected=()):
    # Nothing is moved: neither has a shoe, so colors are all that changes.
    edit = Edit("transplant", host, donor, ["shoe"], protected, leaves)
    return compose_batch([edit], TAXONOMY)[0]


def inner(segmented_image: SegmentedImage, name: str) -> np.ndarray:
    """Mean color of a segment away from its outline."""
    left, top, right, bottom = BOXES[name]
    return segmented_image.image[top + EDGE : bottom - EDGE, left + EDGE : right - EDGE].mean(
        axis=(0, 1)
    )


def test_named_segments_get_the_donors_colors_and_nothing_else_changes():
    host, donor = segmented_image(shirt=GRAY, coat=BLUE), segmented_image(shirt=RED, coat=GRAY)
    made = recolored(host, donor, ["shirt"])
    np.testing.assert_allclose(inner(made, "shirt"), RED, atol=2)
    outside = ~host.masks["shirt"]
    assert (made.image[outside] == host.image[outside]).all()
    assert made.masks == dict(host.masks)


def test_each_segment_gets_its_own():
    made = recolored(
        segmented_image(shirt=GRAY, coat=BLUE),
        segmented_image(shirt=RED, coat=GRAY),
        ["shirt", "coat"],
    )
    np.testing.assert_allclose(inner(made, "shirt"), RED, atol=2)
    np.testing.assert_allclose(inner(made, "coat"), GRAY, atol=2)


def test_texture_stays():
    host, donor = segmented_image(noise=8, shirt=GRAY), segmented_image(noise=8, shirt=RED)
    made = recolored(host, donor, ["shirt"])
    left, top, right, bottom = BOXES["shirt"]
    before, after = (p.image[top:bottom, left:right].mean(axis=2) for p in (host, made))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9


def test_an_image_with_its_own_colors_stays():
    host = segmented_image(noise=8, shirt=GRAY, coat=BLUE)
    made = recolored(host, host, ["shirt", "coat"])
    assert np.abs(made.image.astype(int) - host.image).max() <= 1


def test_a_segment_that_the_donor_lacks_gets_its_kins_colors():
    made = recolored(segmented_image(coat=(124, 120, 118)), segmented_image(shirt=RED), ["coat"])
    np.testing.assert_allclose(inner(made, "coat"), RED, atol=2)


def test_without_kin_it_keeps_its_own():
    # The branch above a shoe joins more than leaves.
    host = segmented_image(shoe=GRAY, shirt=GRAY)
    made = compose_batch(
        [Edit("recolor", host, segmented_image(shirt=RED), ["coat"], (), ["shoe"])], TAXONOMY
    )[0]
    assert (made.image == host.image).all()


def test_what_keeps_its_colors_stands_in_the_light_around_it():
    host, donor = (
        segmented_image(face=(200, 170, 150), mouth=PINK),
        segmented_image(face=(166, 137, 120), mouth=(200, 60, 60)),
    )
    made = recolored(host, donor, ["face"], protected=["mouth"])
    mouth, face = (made.image[masks].mean(axis=0) for masks in (host.masks["mouth"], _core(host)))
    np.testing.assert_allclose(face, (166, 137, 120), atol=3)
    # Darker than it was, pinker than the face, and not the donor's mouth.
    assert mouth.mean() < np.mean(PINK) - 6
    assert mouth[0] - mouth[1] > face[0] - face[1]
    assert np.abs(mouth - (200, 60, 60)).max() > 20


def test_what_looks_like_a_larger_segment_that_stays_stays_too():
    # A mouth in the color of its face: a nose, so to say.
    host, donor = (
        segmented_image(face=PINK, mouth=(205, 118, 128)),
        segmented_image(face=BLUE, mouth=(200, 60, 60)),
    )
    made = recolored(host, donor, ["mouth"], protected=["face"])
    assert (made.image == host.image).all()
    other = segmented_image(face=PINK, mouth=(90, 30, 40))
    assert (recolored(other, donor, ["mouth"], protected=["face"]).image != other.image).any()


def test_a_larger_segment_does_not_take_the_light_of_a_smaller_one():
    # Nor of one that only touches it.
    mouth, other = (150, 60, 70), (170, 80, 90)
    host, donor = segmented_image(face=PINK, mouth=mouth), segmented_image(face=PINK, mouth=other)
    made = recolored(host, donor, ["mouth"], protected=["face"])
    core = _core(host)
    assert (made.image[core] == host.image[core]).all()
    np.testing.assert_allclose(made.image[host.masks["mouth"]].mean(axis=0), other, atol=10)


def _core(host):
    core = np.zeros((64, 64), bool)
    core[5:9, 23:41] = True
    return core & host.masks["face"]


def test_gray_photographs_stay_gray():
    made = recolored(segmented_image(shirt=GRAY), segmented_image(shirt=(60, 60, 200)), ["shirt"])
    spread = made.image.astype(int).max(axis=2) - made.image.min(axis=2)
    assert spread.max() <= 1
    assert inner(made, "shirt").mean() < 110


def test_a_few_pixels_have_no_colors_to_give_or_take():
    host, donor = segmented_image(shirt=GRAY), segmented_image(shirt=RED)
    few = np.zeros((64, 64), bool)
    few[30, : LEAST - 1] = True
    small = replace(donor, masks={**donor.masks, "shirt": few}, _known={})
    assert "shirt" not in measure_colors(small, TAXONOMY)
    assert (recolored(host, small, ["shirt"]).image == host.image).all()
    assert (recolored(small, host, ["shirt"]).image == small.image).all()


def test_results_do_not_depend_on_the_batch():
    hosts = [
        segmented_image(noise=9, shirt=GRAY),
        segmented_image(noise=5, shirt=BLUE, coat=RED, shoe=GRAY),
    ]
    donors = [
        segmented_image(noise=7, shirt=RED, shoe=BLUE),
        segmented_image(noise=6, coat=GRAY, shirt=PINK),
    ]
    edits = [
        Edit("recolor", host, donor, ["shoe"], (), ["shirt", "coat"])
        for host in hosts
        for donor in donors
    ]
    alone = [compose_batch([edit], TAXONOMY)[0].image for edit in edits]
    with worker_pool() as pool:
        together = compose_batch(edits * 5, TAXONOMY, pool=pool)
    for number, made in enumerate(together):
        assert (made.image == alone[number % len(edits)]).all()


# --- labels that are a matter of color ---------------------------------------------------------


class Shelf:
    """Images by id, as a reader of a store gives them."""

    def __init__(self, segmented_images):
        self._images = segmented_images

    def read(self, image_ids):
        return [self._images[image_id] for image_id in image_ids]


def colors_that_encode(segmented_images, labels, evidence):
    ids = list(segmented_images)
    colors = measure_leaf_colors(Shelf(segmented_images), ids, list(labels), ["shirt"], TAXONOMY)
    return colors_that_encode_label(colors, labels, {"shirt": evidence})


@pytest.mark.parametrize(("by_color", "expected"), [(True, ("shirt",)), (False, ())])
def test_labels_colors_that_encode_labels_are_known(by_color, expected):
    rng = np.random.default_rng(0)
    labels = np.array(["a", "b"] * 40)
    segmented_images = {}
    for number, label in enumerate(labels):
        base = (200, 60, 60) if by_color and label == "a" else (60, 60, 200)
        segmented_images[str(number)] = segmented_image(
            shirt=tuple(np.add(base, rng.integers(-40, 40, 3)))
        )
    assert colors_that_encode(segmented_images, labels, 0.45) == expected


def test_a_leaf_of_one_label_tells_nothing_by_its_colors():
    labels = np.array(["a", "b"] * 20)
    segmented_images = {
        str(n): segmented_image(shirt=RED) if label == "a" else segmented_image(coat=RED)
        for n, label in enumerate(labels)
    }
    assert colors_that_encode(segmented_images, labels, 0.4) == ()
