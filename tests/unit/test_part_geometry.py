"""A tree from where segments lie: parts by their borders, groups by what touches, by hand."""

import numpy as np
import pytest

from heml.tree.part_geometry import (
    geometry_tree,
    measure_geometry,
    said_parts,
    seen_parts,
)

LEAVES = ["background", "bird", "beak", "water", "boat"]


def scene():
    """A bird with a beak within it, water below, background around."""
    ids = np.zeros((10, 12), int)
    ids[2:7, 2:9] = 1
    ids[3:5, 5:8] = 2
    ids[7:] = 3
    return ids


def test_borders_and_areas_by_hand():
    """Two rows: a a b / a a -1. a meets b once and nothing once; b meets nothing once."""
    found = measure_geometry([np.array([[0, 0, 1], [0, 0, -1]])], ["a", "b"])
    assert found.touching.tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert found.enclosed().tolist() == [[0, 0.5], [0.5, 0]]
    assert found.area.tolist() == pytest.approx([4 / 6, 1 / 6])
    assert found.present.tolist() == [[1, 1], [1, 1]]


def test_what_lies_within_another_leaf_is_its_part():
    geometry = measure_geometry([scene()] * 3, LEAVES)
    assert geometry.enclosed()[2, 1] == 1  # the beak meets the bird alone
    assert seen_parts(geometry) == {"beak": "bird"}
    tree, reasons = geometry_tree(geometry)
    assert tree["bird_with_parts"] == ["bird", "beak"]
    assert "100% of it with bird" in reasons["bird_with_parts"]
    assert list(tree)[-1] == "image"
    below = [leaf for children in tree.values() for leaf in children]
    assert set(LEAVES) <= set(below)
    assert "boat" in tree["image"]  # it is in no image


def test_two_images_are_no_rule():
    assert seen_parts(measure_geometry([scene()] * 2, LEAVES)) == {}


def test_what_lies_between_parts_is_a_part_too():
    """An inner square meets only the ring around it, and that ring only the plate."""
    ids = np.zeros((20, 20), int)
    ids[2:18, 2:18] = 1
    ids[5:15, 5:9], ids[5:15, 9:15] = 2, 3  # two halves of a ring
    ids[8:12, 7:11] = 4
    found = seen_parts(
        measure_geometry([ids] * 3, ["background", "plate", "left", "right", "hole"])
    )
    assert found["left"] == found["right"] == "plate"
    assert found["hole"] in ("plate", "right", "left")


def test_the_same_segments_give_the_same_tree():
    rng = np.random.default_rng(0)
    maps = [rng.integers(-1, 6, (12, 12)) for _ in range(8)]
    names = [f"leaf_{n}" for n in range(6)]
    once, again = (geometry_tree(measure_geometry(maps, names)) for _ in range(2))
    assert once == again


def test_words_say_what_is_of_what():
    words = {
        "bird": ["sparrow", "bird"],
        "beak": ["beak of the bird"],
        "tip": ["tip of a beak"],
        "water": ["body of water"],
        "sky": ["sky"],
    }
    assert said_parts(words) == {"beak": "bird", "tip": "beak"}
    assert said_parts({"a": ["a of the b"], "b": ["b of the a"]}) == {"a": "b"}


def test_said_parts_need_no_images():
    leaves = ["bird", "beak", "tip", "water"]
    geometry = measure_geometry([], leaves)
    tree, _ = geometry_tree(geometry, {"beak": "bird", "tip": "beak"}, tolerance=1.0)
    assert tree == {
        "beak_with_parts": ["beak", "tip"],
        "bird_with_parts": ["bird", "beak_with_parts"],
        "image": ["bird_with_parts", "water"],
    }


def test_leaves_that_no_image_has_stand_apart():
    tree, reasons = geometry_tree(measure_geometry([scene()] * 3, [*LEAVES, "car", "bus"]))
    assert tree["unseen"] == ["boat", "car", "bus"]
    assert list(tree)[-1] == "image"
    assert "unseen" in tree["image"]
    assert "in none of the 3 images" in reasons["unseen"]
