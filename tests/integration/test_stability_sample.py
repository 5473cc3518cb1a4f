"""Stability of a sample of a store's images: which ones, what is kept, and what the stage says."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import png

from data_contracts import SEGMENT_STABILITY
from heml.compute.progress import silent
from heml.dataset.revocation import revoke
from heml.segmentation.prediction import Prediction
from heml.segmentation.segmenter import SEGMENTERS, PredictorSegmenter
from heml.segmentation.segmenter_settings import PredictorSettings
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.storage.run_context import RunContext
from heml.storage.table_check import check_table


class Bright:
    """Finds the bright part of an image; counts the images that it sees."""

    name, licence, leaves, accelerated = "bright", None, ["background", "shape"], False
    seen = 0

    def predict(self, images):
        Bright.seen += len(images)
        ids = [(i.mean(axis=2) > 128).astype(np.uint8) for i in images]
        return [Prediction(i, {0: 0.9, 1: 0.7}, {1: 0.25}) for i in ids]


class BrightSegmenter(PredictorSegmenter):
    name, rank, description, settings = "bright", 99, "bright pixels", PredictorSettings
    kept = False

    def keeps_masks(self, settings):
        return self.kept

    def prepare(self, settings, context):
        return Bright, {}


@pytest.fixture
def bright(monkeypatch):
    monkeypatch.setenv("HEML_PROCESSES", "1")
    yield SEGMENTERS.register(BrightSegmenter())
    SEGMENTERS.unregister("bright")


@pytest.fixture
def run(dataset, store, taxonomy):
    def made(settings):
        dataset.write()
        ingest(store, dataset.settings(), dataset.root, taxonomy, True, silent)
        Bright.seen = 0
        return segment(RunContext(store, taxonomy), settings).summary

    return made


def settings(**changed):
    return PredictorSettings(kind="bright", doubted="keep", batch_size=4, **changed)


def table(store):
    return pq.read_table(store.segment_stability).to_pylist()


def test_a_sample_is_measured_and_its_summary_told(bright, run, dataset, store):
    dataset.good(16)
    summary = run(settings(stability_images=5))
    assert Bright.seen == 16 + 5 * 4
    assert check_table([store.segment_stability], SEGMENT_STABILITY) == 10
    rows = table(store)
    assert len({row["image_id"] for row in rows}) == summary["stability_images"] == 5
    assert [s["leaf"] for s in summary["stability"]] == ["background", "shape"]
    for found in summary["stability"]:
        values = [row["stability"] for row in rows if row["class_name"] == found["leaf"]]
        assert found["mean"] == pytest.approx(np.mean(values), abs=1e-5)
        assert found["low"] <= found["mean"] <= found["high"]
        assert found["images"] == 5
    means = [s["mean"] for s in summary["stability"]]
    assert summary["mean_stability"] == pytest.approx(np.mean(means), abs=1e-5)
    assert summary["word_agreement"][0]["mean"] == 0.25
    assert summary["mean_confidence"] == {"background": 0.9, "shape": 0.7}
    assert {row["mirror"] for row in rows} == {1.0}  # of each pixel for itself
    assert all(row["zoom"] < 1 for row in rows)  # noise does not stay


def test_images_that_were_measured_keep_their_values(bright, run, dataset, store):
    dataset.good(16)
    first = run(settings(stability_images=100))
    before = table(store)
    dataset.good(2)
    grown = run(settings(stability_images=100))
    assert Bright.seen == 2 + 2 * 4
    assert (first["stability_images"], grown["stability_images"]) == (16, 18)
    after = table(store)
    assert len(after) == 36
    assert all(row in after for row in before)
    dataset.put("images/0003.png", png(np.full((16, 24, 3), 9, np.uint8)))
    run(settings(stability_images=100))
    assert Bright.seen == 1 + 4
    fewer = run(settings(stability_images=100, stability_changes=["shift"]))
    assert fewer["kept"] == 18  # segments are the same
    assert Bright.seen == 18 * 2
    assert {row["mirror"] for row in table(store)} == {None}


def test_it_is_switched_off_by_none_and_is_not_there_for_masks(bright, run, dataset, store):
    dataset.good(16)
    run(settings(stability_images=3))
    assert store.segment_stability.exists()
    off = run(settings(stability_images=0))
    assert (off["kept"], Bright.seen) == (16, 0)
    assert "stability" not in off
    assert not store.segment_stability.exists()


def test_given_masks_are_not_judged(bright, run, dataset, store):
    bright.kept = True
    dataset.good(16)
    summary = run(settings(stability_images=4))
    assert (Bright.seen, summary["stability_images"], table(store)) == (0, 0, [])
    assert "mean_stability" not in summary
    assert summary["mean_confidence"] == {}


def test_annotated_segments_have_none(run, dataset, store):
    dataset.good(16)
    summary = run(AnnotatedSegmentation())
    assert not {"stability", "mean_confidence"} & set(summary)
    assert not store.segment_stability.exists()


def test_revoked_images_leave_the_table(bright, run, dataset, store):
    dataset.good(16)
    run(settings(stability_images=100))
    gone = table(store)[0]["image_id"]
    revoke(store, [gone])
    left = table(store)
    assert len(left) == 30
    assert gone not in {row["image_id"] for row in left}
    assert check_table([store.segment_stability], SEGMENT_STABILITY) == 30
    assert store.finished("segments", store.fingerprint("segments")) is not None
