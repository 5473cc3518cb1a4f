"""How badly a moved segment sits: shifts, sizes and light that can be computed by hand."""

import numpy as np
import pytest

from heml.recombination.critic.choose import best_of_each_kind, in_shares
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.judging.misfit import LIGHT_WEIGHT, SIZE_WEIGHT, measure_misfit
from heml.taxonomy import Taxonomy

TAXONOMY = Taxonomy(
    "face",
    {"background": ("background",), "skin": ("skin",), "mouth": ("mouth",)},
    {"image": ("background", "skin", "mouth")},
)
MOVE = {"operator": "transplant", "direction": "within_group", "nodes": ["mouth"]}


def face(kind=SegmentedImage, left=40, width=20, height=20, shade=100):
    """A mouth of 20 pixels in a side, unless said otherwise, in a face of one shade."""
    mouth = np.zeros((100, 100), bool)
    mouth[50 : 50 + height, left : left + width] = True
    skin = np.zeros((100, 100), bool)
    skin[10:90, 10:90] = True
    image = np.full((100, 100, 3), shade, np.uint8)
    masks = {"background": ~skin, "skin": skin & ~mouth, "mouth": mouth}
    return kind(image, {name: mask for name, mask in masks.items() if mask.any()})


def misfit(sample, donor=None, host=None, **edit):
    return measure_misfit(sample, host or face(), donor or face(), MOVE | edit, TAXONOMY)


def test_a_segment_in_its_place_fits():
    assert misfit(face(Recombined)) == pytest.approx(0, abs=1e-6)


def test_a_segment_half_its_side_away_misfits_by_a_half():
    assert misfit(face(Recombined, left=50)) == pytest.approx(0.5, rel=0.01)


def test_twice_the_size_misfits_by_the_logarithm_of_two():
    larger = face(Recombined, left=30, width=40, height=40)
    shift = 10 / 20  # twice as tall from the same top: the center is ten pixels lower
    assert misfit(larger) == pytest.approx(shift + SIZE_WEIGHT * np.log(2), rel=0.01)


def test_light_counts_where_the_label_is_moved():
    dark = face(shade=49)
    assert misfit(face(Recombined), dark) == pytest.approx(0, abs=1e-6)
    found = misfit(face(Recombined), dark, direction="swap_label")
    assert found == pytest.approx(LIGHT_WEIGHT * 51 / 255, rel=0.01)


def test_what_moves_no_segment_has_no_misfit():
    assert misfit(face(Recombined), operator="recolor") is None


def test_scenery_fits_a_foreground_of_its_own_size_on_its_own_ground():
    def scene(kind, top, side):
        front = np.zeros((100, 100), bool)
        front[top : top + side, 30 : 30 + side] = True
        return kind(np.zeros((100, 100, 3), np.uint8), {"background": ~front, "skin": front})

    edit = {"operator": "background", "nodes": ["background"]}
    host, same = scene(SegmentedImage, 40, 40), scene(SegmentedImage, 40, 40)
    sample = scene(Recombined, 40, 40)
    assert misfit(sample, same, host, **edit) == pytest.approx(0, abs=1e-6)
    higher = scene(SegmentedImage, 20, 40)
    assert misfit(sample, higher, host, **edit) == pytest.approx(0.2, rel=0.01)
    smaller = scene(SegmentedImage, 60, 20)
    assert misfit(sample, smaller, host, **edit) == pytest.approx(SIZE_WEIGHT * np.log(2), rel=0.01)
    filled = np.zeros((100, 100), bool)
    filled[:10] = True
    sample = Recombined(sample.image, sample.masks, filled=filled)
    assert misfit(sample, same, host, **edit) == pytest.approx(0.1)


def test_what_a_removal_uncovers_is_of_one_light():
    bare, edit = face(Recombined, width=0), {"operator": "remove", "direction": "swap_attribute"}
    assert misfit(bare, **edit) == pytest.approx(0, abs=1e-6)
    assert misfit(bare, face(shade=49), **edit) == pytest.approx(LIGHT_WEIGHT * 51 / 255, rel=0.01)


def test_what_the_host_lacked_has_no_misfit():
    assert misfit(face(Recombined), host=face(width=0)) is None


def test_an_edit_is_as_good_as_the_worse_of_look_and_fit():
    edits = [f"edit-{n}" for n in range(4)]
    kinds = dict.fromkeys(edits, ("transplant", ("mouth",)))
    looks = dict(zip(edits, [0.9, 0.8, 0.1, 0.5], strict=True))
    misfits = dict(zip(edits, [0.9, 0.2, 0.1, 0.3], strict=True))
    assert best_of_each_kind(edits, 2, kinds, looks, misfits) == ["edit-1", "edit-3"]


def test_without_misfits_looks_alone_decide():
    edits = [f"edit-{n}" for n in range(5)]
    kinds = dict.fromkeys(edits, ("recolor", ("hair",)))
    looks = dict(zip(edits, [0.1, 0.2, 0.3, 0.4, 0.5], strict=True))
    assert sorted(best_of_each_kind(edits, 2, kinds, looks, {})) == ["edit-3", "edit-4"]


def test_the_choice_keeps_the_mixture_of_kinds():
    kinds = {
        f"edit-{n:02}": (("recolor" if n < 12 else "transplant"), ("hair",)) for n in range(18)
    }
    looks = {edit: float(kind[0] == "transplant") for edit, kind in kinds.items()}
    kept = best_of_each_kind(list(kinds), 9, kinds, looks, {})
    assert [kinds[edit][0] for edit in kept].count("recolor") == 6


def test_shares_are_whole_and_add_up():
    counts = {("a", ()): 5, ("b", ()): 3, ("c", ()): 2}
    for total in range(14):
        shares = in_shares(counts, total)
        assert sum(shares.values()) == min(total, 10)
        assert all(shares[kind] <= counts[kind] for kind in counts)
