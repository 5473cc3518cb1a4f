"""What an attribute changes in the colors of a segment whose colors encode the label."""

import json

import numpy as np
import pytest

from heml.recombination.attribution import leaf_colors
from heml.recombination.attribution.color_effects import color_effects
from heml.recombination.attribution.roles import Roles, roles_from
from heml.recombination.compositing.color_statistics import measure_colors
from heml.recombination.compositing.compose import Edit, compose_batch
from heml.recombination.imaging.segmented_image import SegmentedImage
from heml.taxonomy import Taxonomy

TAXONOMY = Taxonomy(
    "pet",
    {"background": ("background",), "pet": ("pet",)},
    {"image": ("background", "pet")},
)


def records(conflicting, shift, noise=4.0, seed=0):
    """Colors of cats and dogs; a cool scanner changes them by `shift` from a warm one."""
    rng = np.random.default_rng(seed)
    groups = [("cat", "warm", 150), ("cat", "cool", conflicting), ("dog", "warm", conflicting),
              ("dog", "cool", 60)]  # fmt: skip
    labels = [label for label, _, count in groups for _ in range(count)]
    values = [value for _, value, count in groups for _ in range(count)]
    coat = np.where(np.array(labels)[:, None] == "cat", (40.0, 5, 10), (65.0, 8, 20))
    tint = np.where(np.array(values)[:, None] == "cool", shift, (0.0, 0, 0))
    return coat + tint + rng.normal(0, noise, coat.shape), labels, {"scanner": values}


def test_the_change_is_told_from_the_label():
    found = color_effects(*records(8, (0.0, 3, -12)))
    change = np.subtract(found["scanner"]["cool"], found["scanner"]["warm"])
    assert change == pytest.approx((0, 3, -12), abs=4)
    # Lightness, which the scanner leaves alone, is not touched.
    assert change[0] == 0


def test_values_are_centered():
    found = color_effects(*records(8, (10.0, 0, 0), noise=0.5))["scanner"]
    assert np.add(found["warm"], found["cool"]) == pytest.approx((0, 0, 0), abs=1e-9)
    assert found["cool"][0] == pytest.approx(5, abs=0.5)


def test_a_clean_attribute_changes_nothing_in_nearly_all_trials():
    wrong = sum(bool(color_effects(*records(8, (0.0, 0, 0), seed=seed))) for seed in range(200))
    assert wrong <= 6  # 1% are expected


def test_what_goes_with_the_label_in_every_record_cannot_be_told():
    assert color_effects(*records(0, (0.0, 0, -12))) == {}


def test_three_values_and_two_attributes():
    rng = np.random.default_rng(1)
    labels = rng.choice(["a", "b"], 300)
    stains, rooms = rng.choice(["x", "y", "z"], 300), rng.choice(["p", "q"], 300)
    colors = rng.normal(0, 1, (300, 3))
    colors[:, 2] += np.select([stains == "x", stains == "y"], [-9, 0], 9)
    found = color_effects(colors, list(labels), {"stain": list(stains), "room": list(rooms)})
    assert set(found) == {"stain"}
    assert [round(found["stain"][v][2]) for v in "xyz"] == [-9, 0, 9]


def test_effects_survive_json():
    roles = Roles({}, ("pet",), label_colors=("pet",),
                  color_effects={"scanner": {"pet": {"warm": (1.0, 0.0, 2.0)}}})  # fmt: skip
    assert roles_from(json.loads(json.dumps(roles.describe()))) == roles


def test_a_tinted_segment_changes_by_the_tint_and_not_by_the_donor():
    def scene(color):
        pet = np.zeros((64, 64), bool)
        pet[20:50, 15:50] = True
        image = np.full((64, 64, 3), 200, np.uint8)
        image[pet] = color
        return SegmentedImage(image, {"background": ~pet, "pet": pet})

    host, donor = scene((120, 110, 100)), scene((60, 90, 60))
    # More than what accompanies an attribute may change by.
    tint = {"pet": np.array([0.0, 6.0, -20.0])}
    edit = Edit("recolor", host, donor, [], [], ["pet"], tint)
    sample = compose_batch([edit], TAXONOMY)[0]
    before, after = (measure_colors(i, TAXONOMY)["pet"].mean for i in (host, sample))
    assert after - before == pytest.approx(tint["pet"], abs=0.8)


def test_of_a_large_split_small_groups_are_read_whole(monkeypatch):
    monkeypatch.setattr(leaf_colors, "IMAGES", 40)
    image = SegmentedImage(np.zeros((8, 8, 3), np.uint8), {"pet": np.ones((8, 8), bool)})

    class Reader:
        def read(self, image_ids):
            return [image for _ in image_ids]

    groups = ["big"] * 500 + ["small"] * 6 + ["other"] * 200
    ids = [str(n) for n in range(len(groups))]
    found = leaf_colors.measure_leaf_colors(Reader(), ids, groups, ["pet"], TAXONOMY)["pet"]
    counts = {name: sum(groups[row] == name for row in found.rows) for name in set(groups)}
    assert counts == {"small": 6, "other": 17, "big": 17}
