"""A source that grows: only what is new is segmented, and the table is as if all had been."""

import hashlib

import numpy as np
import pytest
from conftest import png

from heml.compute.progress import silent
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segmenters.pretrained import PretrainedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.storage.run_context import RunContext
from heml.storage.store import Store


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A segmenter with random weights that tells background from shape somehow."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation
    from transformers.models.segformer.image_processing_pil_segformer import (
        SegformerImageProcessorPil,
    )

    from heml.compute.threads import seeded

    folder = tmp_path_factory.mktemp("checkpoint")
    labels = {0: "background", 1: "shape"}
    config = SegformerConfig(
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        id2label=labels,
        label2id={name: i for i, name in labels.items()},
    )
    with seeded(0):
        SegformerForSemanticSegmentation(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    SegformerImageProcessorPil(size=size, do_reduce_labels=False).save_pretrained(folder)
    return folder


@pytest.fixture(params=["annotated", "pretrained", "pretrained, doubted dropped"])
def settings(request):
    if request.param == "annotated":
        return AnnotatedSegmentation(least_area=0.1)
    checkpoint = request.getfixturevalue("checkpoint")
    doubted = {"least_confidence": 0.5, "doubted": "drop"} if "drop" in request.param else {}
    return PretrainedSegmentation(
        kind="pretrained", checkpoint=str(checkpoint), device="cpu", batch_size=4, **doubted
    )


def run(dataset, store, settings, taxonomy):
    dataset.write()
    ingest(store, dataset.settings(), dataset.root, taxonomy, True, silent)
    return segment(RunContext(store, taxonomy), settings).summary


def bytes_of(store):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.segments.iterdir())
    }


def as_new(dataset, settings, taxonomy, folder):
    """Summary and bytes of a store that has seen nothing before."""
    fresh = Store(folder)
    return run(dataset, fresh, settings, taxonomy), bytes_of(fresh)


def assert_same(summary, store, fresh):
    aside = {"segmented", "kept", "images_per_second"}
    expected, expected_bytes = fresh
    assert bytes_of(store) == expected_bytes
    assert {k: v for k, v in summary.items() if k not in aside} == {
        k: v for k, v in expected.items() if k not in aside
    }


def test_only_new_images_are_segmented(dataset, store, taxonomy, settings, tmp_path):
    dataset.good(16)
    first = run(dataset, store, settings, taxonomy)
    assert (first["segmented"], first["kept"]) == (16, 0)
    dataset.good(3)
    dataset.rows.insert(5, dataset.rows.pop())  # in the middle
    grown = run(dataset, store, settings, taxonomy)
    assert (grown["segmented"], grown["kept"]) == (3, 16)
    assert_same(grown, store, as_new(dataset, settings, taxonomy, tmp_path / "fresh"))


def test_changed_mask_or_picture_is_segmented_again(dataset, store, taxonomy, tmp_path):
    settings = AnnotatedSegmentation()
    dataset.good(16)
    run(dataset, store, settings, taxonomy)
    dataset.put("masks/0002.png", png(np.ones((16, 24), np.uint8)))
    dataset.put("images/0005.png", png(np.full((16, 24, 3), 9, np.uint8)))
    changed = run(dataset, store, settings, taxonomy)
    assert (changed["segmented"], changed["kept"]) == (2, 14)
    assert_same(changed, store, as_new(dataset, settings, taxonomy, tmp_path / "fresh"))


def test_removed_image_takes_its_segments_along(dataset, store, taxonomy, tmp_path):
    settings = AnnotatedSegmentation()
    dataset.good(17)
    run(dataset, store, settings, taxonomy)
    dataset.rows.pop(3)
    shrunk = run(dataset, store, settings, taxonomy)
    assert (shrunk["segmented"], shrunk["kept"]) == (0, 16)
    assert_same(shrunk, store, as_new(dataset, settings, taxonomy, tmp_path / "fresh"))


def test_other_settings_reuse_nothing(dataset, store, taxonomy):
    dataset.good(16)
    run(dataset, store, AnnotatedSegmentation(), taxonomy)
    other = run(dataset, store, AnnotatedSegmentation(least_area=0.2), taxonomy)
    assert other["kept"] == 0


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_earlier_table_is_made_anew(dataset, store, taxonomy, damage):
    settings = AnnotatedSegmentation()
    dataset.good(16)
    first = run(dataset, store, settings, taxonomy)
    keys = store.segments / "_keys.arrow"
    if damage == "cut":
        keys.write_bytes(keys.read_bytes()[:-7])
    else:
        keys.unlink()
    again = run(dataset, store, settings, taxonomy)
    assert again["kept"] == 0
    assert again["content"] == first["content"]
