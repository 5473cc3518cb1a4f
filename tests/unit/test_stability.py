"""How segments hold when images change a little, with finders whose answer is known."""

import numpy as np
import pytest

from heml.segmentation.image_changes import IMAGE_CHANGES
from heml.segmentation.prediction import Prediction
from heml.segmentation.segmenters.pretrained import PretrainedSegmentation
from heml.segmentation.stability import leaf_iou, leaf_summaries, measure
from heml.segmentation.trained_settings import TrainedSegmentation

CHANGES = list(IMAGE_CHANGES)


class Finder:
    """Finds "bright" and "dark" by a function of the pixels."""

    name, licence, leaves, accelerated = "finder", None, ["dark", "bright"], False

    def __init__(self, ids=lambda image: image[..., 0] > 127):
        self.ids, self.asked = ids, 0

    def predict(self, images):
        self.asked += len(images)
        return [Prediction(self.ids(i).astype(np.uint8), {0: 0.5, 1: 0.5}) for i in images]


def square(side=100, start=30, stop=60):
    image = np.zeros((side, side, 3), np.uint8)
    image[start:stop, start:stop] = 255
    return image


@pytest.mark.parametrize("change", CHANGES)
def test_what_follows_the_pixels_is_stable(change):
    (found,) = measure(Finder(), [square()], [change])
    assert found["dark"].mean > 0.97
    assert found["bright"].mean == (1 if change != "zoom" else pytest.approx(1, abs=0.08))


@pytest.mark.parametrize("change", CHANGES)
def test_what_stays_where_it_is_whatever_the_image_shows_is_not(change):
    def left(image):
        return np.broadcast_to(np.arange(image.shape[1]) < 20, image.shape[:2])

    (found,) = measure(Finder(left), [square()], [change])
    expected = {"mirror": 0, "shift": 18 / 20, "zoom": 15 / 18}[change]
    assert found["bright"].mean == pytest.approx(expected, abs=0.06)


def test_a_batch_of_any_sizes_costs_one_prediction_and_one_for_each_change():
    finder = Finder()
    images = [square(), square(40, 5, 39)[:30], np.zeros((1, 1, 3), np.uint8)]
    found = measure(finder, images, CHANGES)
    assert finder.asked == 3 * 4
    assert [set(leaves) for leaves in found] == [{"dark", "bright"}] * 2 + [{"dark"}]
    assert set(found[0]["dark"].by_change) == set(CHANGES)
    assert found[0]["dark"].mean == np.mean(list(found[0]["dark"].by_change.values()))
    assert found[2]["dark"].by_change == dict.fromkeys(CHANGES, 1)  # a single pixel stays


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 3), (33, 50), (101, 99)])
def test_changes_keep_the_size_and_align_the_same_pixels(change, shape):
    made = IMAGE_CHANGES[change]
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    before = pixels.copy()
    after = made.apply(pixels)
    assert after.shape == pixels.shape
    assert (pixels == before).all()
    one, other = made.align(pixels[..., 0], after[..., 0])
    assert one.shape == other.shape
    if change != "zoom":  # which mixes pixels
        assert (one == other).all()


def test_iou_of_leaves_by_hand():
    one = np.array([[0, 0, 1, 255]], np.uint8)
    other = np.array([[0, 1, 1, 2]], np.uint8)
    assert leaf_iou(one, other) == {0: 0.5, 1: 0.5, 2: 0.0}
    assert leaf_iou(one, other, least_area=0.3) == {0: 0.5, 1: 0.5}


def test_a_leaf_that_is_there_in_the_changed_image_alone_is_unstable():
    calls = iter([np.zeros, np.ones])
    finder = Finder(lambda image: next(calls)(image.shape[:2]))
    (found,) = measure(finder, [square()], ["mirror"])
    assert {leaf: value.mean for leaf, value in found.items()} == {"dark": 0, "bright": 0}


def test_means_have_an_interval_over_images():
    values = {"hair": [0.5, 0.7, 0.9] * 10, "hat": [0.25], "ear": []}
    hair, hat = leaf_summaries(values, ["hat", "hair", "ear"])[::-1]
    assert hair["leaf"] == "hair"
    assert hair["images"] == 30
    assert hair["mean"] == pytest.approx(0.7)
    assert 0.6 < hair["low"] < 0.68 < 0.72 < hair["high"] < 0.8
    assert hat == {"leaf": "hat", "mean": 0.25, "low": None, "high": None, "images": 1}


def test_recipes_choose_the_changes_and_switch_them_off():
    def changes(**settings):
        return PretrainedSegmentation(kind="pretrained", checkpoint="a/b", **settings).changes

    assert changes() == ["mirror", "shift", "zoom"]
    assert changes(stability_changes=["zoom", "shift", "zoom"]) == ["shift", "zoom"]
    assert changes(stability_images=0) == []
    assert TrainedSegmentation(kind="trained", mirror=False).changes == ["shift", "zoom"]
    with pytest.raises(ValueError, match="mirror"):
        changes(stability_changes=["turn"])
