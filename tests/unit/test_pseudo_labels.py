"""Few annotated images and pseudo-labels of the others: what is learned from, and what is not."""

from functools import partial
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import png
from pydantic import Field, ValidationError

from heml.compute.progress import silent
from heml.segmentation import segformer
from heml.segmentation.iou import IGNORED
from heml.segmentation.prediction import Prediction
from heml.segmentation.segmenter import SEGMENTERS, PredictorSegmenter
from heml.segmentation.segmenter_settings import PredictorSettings
from heml.segmentation.segments_stage import segment
from heml.segmentation.trained_settings import TrainedSegmentation
from heml.segmentation.training_batches import Batches, Examples
from heml.segmentation.training_images import TooFewAnnotated, held_out_images, is_held_out
from heml.sources.ingest import ingest
from heml.storage.run_context import RunContext

HEIGHT, WIDTH = 32, 48
BRIGHT = {"kind": "bright"}


class BrightSettings(PredictorSettings):
    kind: Literal["bright"]
    limit: int = Field(128, ge=0, le=255)
    sure_until: int = 1000


class Bright:
    """Pixels brighter than a limit are the shape; of images with a later number it is not sure."""

    name, licence, leaves, accelerated = "bright-1", "CC0-1.0", ["background", "shape"], False

    def __init__(self, limit):
        self.limit = limit

    def predict(self, images):
        found = []
        for pixels in images:
            ids = (pixels.mean(axis=2) > self.limit).astype(np.uint8)
            # the background's blue tells how sure it is
            sure = float(pixels[0, 0, 2]) / 100
            present = np.unique(ids).tolist()
            found.append(Prediction(ids, {i: sure if i else 0.9 for i in present}))
        return found


class BrightSegmenter(PredictorSegmenter):
    name, rank, description, settings = "bright", 9, "bright pixels", BrightSettings
    exclusive = False

    def prepare(self, settings, context):
        return partial(Bright, settings.limit), {}


@pytest.fixture(autouse=True)
def bright(monkeypatch):
    monkeypatch.setenv("HEML_PROCESSES", "1")
    SEGMENTERS.register(BrightSegmenter())
    yield
    SEGMENTERS.unregister("bright")


@pytest.fixture
def learned(monkeypatch):
    """What a segmenter is fitted on, without the time that fitting takes."""
    seen = []

    def fit(model, annotated, classes, how, normalize, progress, pseudo_labeled=None):
        def copied(examples):
            return Examples(np.array(examples.images), np.array(examples.masks))

        guessed = pseudo_labeled and copied(pseudo_labeled)
        seen.append((copied(annotated), guessed, how))
        return model.eval()

    monkeypatch.setattr(segformer, "fit", fit)
    return seen


def picture(number, sure=90):
    """A bright rectangle on dark ground."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 60, (HEIGHT, WIDTH, 3), np.uint8)
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[8:24, 12 : 20 + number] = 1
    pixels[ids == 1] += 180
    pixels[0, 0, 2] = sure
    return pixels, ids


def annotated_and_others(dataset, annotated, others, sure=90):
    for number in range(annotated + others):
        pixels, ids = picture(number, sure if number >= annotated else 90)
        fields = {} if number < annotated else {"mask_name": ""}
        mask = png(ids) if number < annotated else None
        dataset.row(png(pixels), mask, split="train", **fields)
    dataset.write()


def run(dataset, store, taxonomy, progress=silent, **changes):
    ingest(store, dataset.settings(), dataset.root, taxonomy, False, silent)
    content = {"kind": "trained", "pixels": 4096, "steps": 1, "least_confidence": 0} | changes
    settings = TrainedSegmentation.model_validate(content)
    return segment(RunContext(store, taxonomy, progress=progress), settings).summary


def test_images_without_a_mask_are_learned_from_beside_the_annotated(
    dataset, store, taxonomy, learned
):
    annotated_and_others(dataset, 14, 9)
    lines = []
    summary = run(dataset, store, taxonomy, lines.append, pseudo_labels=BRIGHT)
    ((own, guessed, _),) = learned
    assert (len(own), len(guessed)) == (9, 9)
    shape = [(guessed.masks[n] == 1).mean() for n in range(9)]
    drawn = [picture(n)[1].mean() for n in range(14, 23)]
    np.testing.assert_allclose(shape, drawn, atol=0.03)
    assert summary["pseudo_labeled_images"] == 9
    assert summary["pseudo_label_agreement"] == 1.0
    assert summary["pseudo_label_iou"] == {"background": 1.0, "shape": 1.0}
    assert (summary["fitted_images"], summary["held_out_images"]) == (9, 5)
    assert summary["mean_iou_low"] <= summary["mean_iou"] <= summary["mean_iou_high"]
    assert any("9 images without a mask are pseudo-labeled" in line for line in lines)
    # what was fitted here has learned nothing: the labeler is better, and that is said
    assert summary["pseudo_labeler_held_out_iou"] == 1.0
    assert any("bright-1 alone reaches 1.000" in line for line in lines)


def test_labels_that_mean_another_thing_are_not_used(dataset, store, taxonomy, learned):
    annotated_and_others(dataset, 14, 9)
    lines = []
    summary = run(dataset, store, taxonomy, lines.append, pseudo_labels=BRIGHT | {"limit": 10})
    assert learned[0][1] is None
    assert summary["pseudo_labeled_images"] == 0
    assert summary["pseudo_label_agreement"] < 0.6
    assert any("means another thing, and its pseudo-labels are not used" in s for s in lines)
    licences = {r["segmenter_licence"] for r in pq.read_table(store.segments).to_pylist()}
    assert licences == {None}


def test_how_much_it_must_agree_is_a_setting(dataset, store, taxonomy, learned):
    annotated_and_others(dataset, 14, 9)
    wrong = BRIGHT | {"limit": 10}
    run(dataset, store, taxonomy, pseudo_labels=wrong, least_agreement=0)
    assert len(learned[0][1]) == 9


def test_segments_that_the_labeler_doubts_are_not_learned(dataset, store, taxonomy, learned):
    annotated_and_others(dataset, 14, 4, sure=40)
    run(dataset, store, taxonomy, pseudo_labels=BRIGHT | {"least_confidence": 0.5})
    doubted = learned[0][1].masks
    assert set(np.unique(doubted)) == {0, IGNORED}
    run(dataset, store, taxonomy, pseudo_labels=BRIGHT | {"least_confidence": 0.3})
    assert set(np.unique(learned[1][1].masks)) == {0, 1}


def test_steps_follow_the_number_of_images_unless_the_settings_say_them(
    dataset, store, taxonomy, learned
):
    annotated_and_others(dataset, 14, 9)
    summary = run(dataset, store, taxonomy, steps=None, pseudo_labels=BRIGHT)
    assert learned[0][2].steps == summary["fitted_steps"] == segformer.default_steps(9 + 9)
    assert [segformer.default_steps(n) for n in (8, 400, 10_000)] == [1500, 2800, 4000]
    assert run(dataset, store, taxonomy, steps=3)["fitted_steps"] == 3


def test_only_so_many_images_are_labeled(dataset, store, taxonomy, learned):
    annotated_and_others(dataset, 14, 9)
    summary = run(dataset, store, taxonomy, pseudo_labels=BRIGHT, most_pseudo_labels=4)
    assert len(learned[0][1]) == summary["pseudo_labeled_images"] == 4


def test_held_out_splits_are_not_labeled(dataset, store, taxonomy, learned):
    annotated_and_others(dataset, 14, 9)
    for row in dataset.rows[-3:]:
        row["split"] = "test"
    dataset.write()
    run(dataset, store, taxonomy, pseudo_labels=BRIGHT)
    assert len(learned[0][1]) == 6


def test_where_every_image_has_a_mask_it_just_trains(dataset, store, taxonomy, learned):
    annotated_and_others(dataset, 14, 0)
    lines = []
    summary = run(dataset, store, taxonomy, lines.append, pseudo_labels=BRIGHT)
    assert learned[0][1] is None
    assert summary["pseudo_labeled_images"] == 0
    assert any("nothing to pseudo-label" in line for line in lines)


def test_without_annotated_images_there_is_nothing_to_fit(dataset, store, taxonomy):
    annotated_and_others(dataset, 1, 14)
    dataset.rows[0]["split"] = "test"
    dataset.write()
    with pytest.raises(TooFewAnnotated, match=r"found 0: annotate more, or use kind: pretrained"):
        run(dataset, store, taxonomy, pseudo_labels=BRIGHT)


def test_it_is_fitted_again_for_other_labels_or_images(dataset, store, taxonomy, learned):
    annotated_and_others(dataset, 14, 5)
    first = run(dataset, store, taxonomy, pseudo_labels=BRIGHT)
    again = run(dataset, store, taxonomy, pseudo_labels=BRIGHT | {"device": "cpu"})
    assert again["segmenter"] == first["segmenter"]
    other = run(dataset, store, taxonomy, pseudo_labels=BRIGHT | {"limit": 120})
    dataset.row(png(picture(40)[0]), split="train", mask_name="")
    dataset.write()
    grown = run(dataset, store, taxonomy, pseudo_labels=BRIGHT | {"limit": 120})
    assert len({s["segmenter"] for s in (first, other, grown)}) == len(learned) == 3


def test_the_labelers_license_goes_along(dataset, store, taxonomy, learned):
    annotated_and_others(dataset, 14, 3)
    run(dataset, store, taxonomy, pseudo_labels=BRIGHT)
    found = {
        (r["segmenter"].split(":")[0], r["segmenter_licence"])
        for r in pq.read_table(store.segments).to_pylist()
    }
    assert found <= {("annotated", None), ("trained", "CC0-1.0")}
    assert ("trained", "CC0-1.0") in found


@pytest.mark.parametrize("kind", ["annotated", "trained"])
def test_a_labeler_that_needs_masks_itself_is_refused(kind):
    with pytest.raises(ValidationError, match=f"kind {kind} needs masks itself; .*unsupervised"):
        TrainedSegmentation(kind="trained", pseudo_labels={"kind": kind})


def test_the_unsupervised_segmenter_labels_and_the_same_seed_gives_the_same(
    dataset, store, taxonomy, tmp_path
):
    annotated_and_others(dataset, 14, 10)
    changes = {"pseudo_labels": {"kind": "unsupervised"}, "steps": 4, "apply": "all"}
    summary = run(dataset, store, taxonomy, **changes)
    assert summary["pseudo_labeler"].startswith("unsupervised:")
    assert summary["pseudo_label_agreement"] > 0.8
    other = type(store)(tmp_path / "other")
    assert run(dataset, other, taxonomy, **changes)["content"] == summary["content"]


# --- which images -------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "fitted"), [(1, 0), (8, 7), (9, 8), (12, 8), (13, 8), (14, 9)])
def test_of_few_images_some_are_held_out_and_enough_are_left(count, fitted):
    settings = TrainedSegmentation(kind="trained", validation_share=0.01)
    ids = [f"image{n}" for n in range(count)]
    assert len(ids) - len(held_out_images(ids, settings)) == fitted


def test_of_many_images_the_share_is_held_out():
    settings = TrainedSegmentation(kind="trained")
    ids = [f"image{n}" for n in range(400)]
    held_out = held_out_images(ids, settings)
    assert held_out == {i for i in ids if is_held_out(i, settings)}
    assert held_out == held_out_images(ids[::-1], settings)
    assert 40 < len(held_out) < 80


def test_a_batch_never_takes_so_many_that_nothing_is_left_to_fit_on():
    settings = TrainedSegmentation(kind="trained", validation_share=0.9)
    assert len(held_out_images([f"image{n}" for n in range(20)], settings)) == 12


def numbered(count, offset=0):
    """Images that are their number."""
    numbers = np.arange(offset, offset + count, dtype=np.uint8)
    return Examples(
        np.broadcast_to(numbers[:, None, None, None], (count, 1, 1, 3)), numbers[:, None, None]
    )


def test_batches_have_the_share_and_draw_every_image_before_one_again():
    batches = Batches(numbered(6), 5, 0, numbered(10, 100), lambda done: 0.5)
    taken = [batches.take(step / 12)[1].ravel() for step in range(12)]
    guessed = [(batch >= 100).sum() for batch in taken]
    assert guessed == [2, 3] * 6
    drawn = np.concatenate(taken)
    assert sorted(drawn[drawn < 100]) == sorted([*range(6)] * 5)
    assert sorted(drawn[drawn >= 100]) == sorted([*range(100, 110)] * 3)


def test_batches_without_pseudo_labels_are_of_annotated_images():
    batches = Batches(numbered(3), 8, 0)
    images, masks = batches.take(0.0)
    assert images.shape == (8, 1, 1, 3)
    assert sorted(np.bincount(masks.ravel())) == [2, 3, 3]


def test_examples_need_a_mask_for_each_image():
    with pytest.raises(ValueError, match="2 images and 1 masks"):
        Examples(np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="no image"):
        Examples(np.zeros((0, 4, 4, 3), np.uint8), np.zeros((0, 4, 4), np.uint8))
