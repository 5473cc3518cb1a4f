"""The segments stage with networks: a segmenter fitted on portraits, and a saved checkpoint."""

from collections import defaultdict

import numpy as np
import pyarrow.dataset as ds
import pytest
from transformers import SegformerConfig, SegformerForSemanticSegmentation
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

from heml.compute.progress import silent
from heml.compute.threads import seeded
from heml.images.images_table import image_index
from heml.segmentation.masks import iterate_masks
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segmenters.pretrained import PretrainedSegmentation
from heml.segmentation.segments_stage import segment
from heml.segmentation.trained_settings import TrainedSegmentation
from heml.segmentation.training_images import TooFewAnnotated, is_held_out, training_size
from heml.sources.ingest import ingest
from heml.sources.layouts.portraits import PortraitsSource
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import builtin

TAXONOMY = builtin("portraits")
SOURCE = PortraitsSource(kind="portraits", count=120, size=64)
TRAINED = TrainedSegmentation(
    kind="trained", pixels=4096, steps=60, batch_size=8, apply="all", doubted="keep"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmentation")
    store = Store(folder)
    ingest(store, SOURCE, folder, TAXONOMY, True, silent)
    return store


@pytest.fixture(scope="module")
def trained(store):
    return segment(RunContext(store, TAXONOMY), TRAINED)


def large(found):
    return [row for row in found if row["area"] >= TRAINED.least_area * 64 * 64]


def rows(store):
    return ds.dataset(store.segments).to_table().to_pylist()


def test_a_segmenter_learns_the_large_parts(trained):
    summary = trained.summary
    assert summary["iou"]["background"] > 0.7
    assert summary["iou"]["hair"] > 0.15
    assert summary["mean_iou_low"] <= summary["mean_iou"] <= summary["mean_iou_high"]


def test_it_is_fitted_on_train_images_alone(store, trained):
    index = image_index(store, [])
    train = index[index["split"] == "train"]["image_id"]
    kept = sum(is_held_out(image_id, TRAINED) for image_id in train)
    assert trained.summary["held_out_images"] == kept
    assert trained.summary["fitted_images"] == len(train) - kept


def test_segments_are_leaves_with_their_segmenter(store, trained):
    found = rows(store)
    assert {row["class_name"] for row in found} <= set(TAXONOMY.leaves)
    assert {row["segmenter"] for row in found} == {trained.summary["segmenter"]}
    assert all(0 < row["confidence"] <= 1 for row in found)
    assert all((row["doubt"] is None) == (row["confidence"] >= 0.5) for row in large(found))
    masks = dict(iterate_masks(store))
    assert len(masks) == 120
    for leaves in masks.values():
        assert np.sum(list(leaves.values()), axis=0).max() == 1


def test_a_fitted_segmenter_is_kept(store, trained):
    lines = []
    (store.root / "manifests" / "segments.json").unlink()
    again = segment(RunContext(store, TAXONOMY, progress=lines.append), TRAINED)
    assert "segmenter: fitted before, kept" in lines
    assert again.summary["content"] == trained.summary["content"]


def test_a_fitted_segmenter_is_a_checkpoint(store, trained):
    (folder,) = store.segmenter.iterdir()
    settings = PretrainedSegmentation(kind="pretrained", checkpoint=str(folder), doubted="keep")
    outcome = segment(RunContext(store, TAXONOMY), settings)
    assert outcome.summary["images"] == 120
    assert outcome.summary["dropped"] == 0
    assert {row["doubt"] for row in rows(store)} <= {None, "small", "unsure"}


def test_masks_stay_where_only_missing_ones_are_made(store):
    settings = TRAINED.model_copy(update={"apply": "missing", "steps": 2, "doubted": "drop"})
    segment(RunContext(store, TAXONOMY), settings)
    predicted = rows(store)
    segment(RunContext(store, TAXONOMY), AnnotatedSegmentation())
    leaf_of = {c: leaf for leaf, names in TAXONOMY.leaves.items() for c in names}
    area = defaultdict(int)
    for row in rows(store):
        area[row["image_id"], leaf_of[row["class_name"]]] += row["area"]
    kept = {(row["image_id"], row["class_name"]): row["area"] for row in predicted}
    assert {row["segmenter"] for row in predicted} == {"annotated"}
    small = {key for key in area if key not in kept}
    assert all(area[key] < settings.least_area * 64 * 64 for key in small)
    assert kept == {key: value for key, value in area.items() if key not in small}


def test_doubted_segments_are_marked_or_dropped(store):
    strict = {"kind": "annotated", "least_area": 0.02}
    marked = segment(RunContext(store, TAXONOMY), AnnotatedSegmentation(**strict))
    small = [row for row in rows(store) if row["doubt"] == "small"]
    assert small
    assert all(row["area"] < 0.02 * 64 * 64 for row in small)
    assert marked.summary["doubted"] == {"small": len(small)}
    dropped = segment(RunContext(store, TAXONOMY), AnnotatedSegmentation(**strict, doubted="drop"))
    assert dropped.summary["dropped"] == len(small)
    assert dropped.summary["segments"] == marked.summary["segments"] - len(small)


def test_too_few_annotated_images_are_refused(tmp_path):
    store = Store(tmp_path)
    source = PortraitsSource(kind="portraits", count=40, size=32, test_share=0.85)
    ingest(store, source, tmp_path, TAXONOMY, True, silent)
    with pytest.raises(TooFewAnnotated, match="at least 8 to fit on"):
        segment(RunContext(store, TAXONOMY), TRAINED)
    assert not store.segments.exists()


def test_training_images_have_the_datasets_shape():
    assert training_size(np.array([[320, 213]] * 3), 24576) == (192, 128)
    assert training_size(np.array([[256, 256]]), 24576) == (160, 160)


def test_a_checkpoint_path_starts_at_the_recipe(store, tmp_path):
    with seeded(0):
        model = SegformerForSemanticSegmentation(
            SegformerConfig(
                hidden_sizes=[8, 8, 16, 16],
                depths=[1, 1, 1, 1],
                num_attention_heads=[1, 1, 2, 2],
                decoder_hidden_size=16,
                id2label=dict(enumerate(TAXONOMY.leaves)),
            )
        )
    model.save_pretrained(tmp_path / "weights")
    SegformerImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(
        tmp_path / "weights"
    )
    settings = PretrainedSegmentation(
        kind="pretrained", checkpoint="weights", least_area=0, least_confidence=0
    )
    outcome = segment(RunContext(store, TAXONOMY), settings, base=tmp_path)
    assert outcome.summary["segmenter"] == "weights"
    assert sum(row["area"] for row in rows(store)) == 120 * 64 * 64
