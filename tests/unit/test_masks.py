"""Run-length encoding, the segments stage on annotated masks, and reading segments back."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from data_contracts import SEGMENTS
from heml.compute.progress import silent
from heml.images.images_table import decode_mask, iterate_images
from heml.segmentation.masks import SegmentReader, decode, encode, iterate_masks
from heml.segmentation.segment_rows import segment_rows
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy, TaxonomyError

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=40)


@given(arrays(bool, SHAPES))
def test_encoding_loses_nothing(mask):
    rle = encode(mask)
    assert rle.isascii()
    decoded = decode(rle, *mask.shape)
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, mask)


def test_encoding_is_cocos():
    """Runs go down the columns: 1 off, 2 on, 1 off."""
    assert encode(np.array([[False, True], [True, False]])) == "121"


@pytest.mark.parametrize("mask", [np.zeros((2, 2)), np.zeros((2, 2, 2), bool), np.zeros(4, bool)])
def test_only_boolean_planes_are_encoded(mask):
    with pytest.raises(ValueError, match="boolean array"):
        encode(mask)


@given(arrays(np.uint8, SHAPES, elements=st.integers(0, 4)))
def test_segment_rows_cover_every_named_pixel_once(ids):
    classes = {0: "a", 1: "b", 3: "d", 7: "never"}
    rows = segment_rows("x", ids, classes)
    assert [row["class_name"] for row in rows] == [
        classes[i] for i in sorted(classes) if (ids == i).any()
    ]
    for row in rows:
        (class_id,) = (i for i, name in classes.items() if name == row["class_name"])
        mask = ids == class_id
        np.testing.assert_array_equal(decode(row["rle"], row["height"], row["width"]), mask)
        assert row["rle"] == encode(mask)
        assert row["area"] == mask.sum()
        ys, xs = np.nonzero(mask)
        assert (row["box_x"], row["box_y"]) == (xs.min(), ys.min())
        assert (row["box_width"], row["box_height"]) == (np.ptp(xs) + 1, np.ptp(ys) + 1)


# --- the stage ----------------------------------------------------------------------------------


def segmented(store, taxonomy):
    return segment(RunContext(store, taxonomy), AnnotatedSegmentation())


@pytest.fixture
def ingested(dataset, store, taxonomy):
    """100 images; the last ones have the ignored class alone, or a bit of it."""
    dataset.good(98)
    for ids in (np.full((5, 6), 2, np.uint8), np.array([[0, 0, 1, 2]], np.uint8)):
        image = np.random.default_rng(len(dataset.rows)).integers(0, 256, (*ids.shape, 3), np.uint8)
        dataset.row(_png(image), _png(ids))
    dataset.write()
    ingest(store, dataset.settings(), Path("/"), taxonomy, True, silent)
    return store


def _png(pixels: np.ndarray) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_segments_are_the_annotated_classes_without_ignored_ones(ingested, taxonomy):
    segmented(ingested, taxonomy)
    found = dict(iterate_masks(ingested))
    assert set(found["images/0098"]) == set()
    assert set(found["images/0099"]) == {"background", "shape"}
    for batch in iterate_images(ingested, ["image_id", "mask"]):
        for row in batch.to_pylist():
            ids, masks = decode_mask(row["mask"]), found[row["image_id"]]
            for class_id, name in ((0, "background"), (1, "shape")):
                if name in masks:
                    np.testing.assert_array_equal(masks[name], ids == class_id)
                else:
                    assert not (ids == class_id).any()


def test_summary_counts_images_segments_and_shares(ingested, taxonomy):
    summary = segmented(ingested, taxonomy).summary
    assert (summary["images"], summary["segments"]) == (100, 2 * 99)
    assert summary["presence"] == {"background": 0.99, "shape": 0.99}
    assert sum(summary["mean_area"].values()) == pytest.approx((98 + 0.75) / 99, abs=1e-5)


def test_table_keeps_its_contract(ingested, taxonomy):
    segmented(ingested, taxonomy)
    table = pq.read_table(ingested.segments)
    SEGMENTS.check_version(table.schema)
    SEGMENTS.validate(table.to_pandas())
    assert set(table["segmenter"].to_pylist()) == {"annotated"}


def test_iteration_gives_every_image_in_stored_order(ingested, taxonomy):
    segmented(ingested, taxonomy)
    ids = [image_id for image_id, _ in iterate_masks(ingested)]
    assert ids == [f"images/{n:04d}" for n in range(100)]


def test_reader_gives_what_iteration_gives(ingested, taxonomy):
    segmented(ingested, taxonomy)
    reader = SegmentReader(ingested)
    expected = list(iterate_masks(ingested))
    for position in np.random.default_rng(0).permutation(100):
        image_id, masks = expected[position]
        read = reader.masks(image_id)
        assert list(read) == list(masks)
        for name in masks:
            np.testing.assert_array_equal(read[name], masks[name])
    with pytest.raises(KeyError, match="no image 'images/0100'"):
        reader.masks("images/0100")


def test_a_second_run_keeps_the_result(ingested, taxonomy):
    assert not segmented(ingested, taxonomy).reused
    assert segmented(ingested, taxonomy).reused
    regrouped = Taxonomy(
        "other", {"all": ("background", "shape")}, {"image": ("all",)}, ignored=("void",)
    )
    assert segmented(ingested, regrouped).reused
    without = Taxonomy(
        "other", {"shape": ("shape",)}, {"image": ("shape",)}, ignored=("void", "background")
    )
    assert not segmented(ingested, without).reused
    assert set(dict(iterate_masks(ingested))["images/0000"]) == {"shape"}


def test_two_stores_get_the_same_bytes(ingested, dataset, taxonomy, tmp_path):
    other = Store(tmp_path / "other")
    ingest(other, dataset.settings(), Path("/"), taxonomy, True, silent)
    first, second = segmented(ingested, taxonomy), segmented(other, taxonomy)
    assert first.summary["content"] == second.summary["content"]
    (a,), (b,) = ingested.segments.glob("*.parquet"), other.segments.glob("*.parquet")
    assert (a.name, a.read_bytes()) == (b.name, b.read_bytes())


def test_a_taxonomy_that_lacks_a_class_is_refused(ingested):
    with pytest.raises(TaxonomyError, match="does not name the class 'void'"):
        segmented(ingested, Taxonomy("x", {"a": ("background", "shape")}, {"image": ("a",)}))


def test_images_without_masks_are_named(dataset, store, taxonomy):
    dataset.good(16)
    dataset.row(mask_name="")
    dataset.write()
    ingest(store, dataset.settings(), Path("/"), taxonomy, False, silent)
    with pytest.raises(ValueError, match="'images/0016' has no mask"):
        segmented(store, taxonomy)
    assert not store.segments.exists()


def test_segments_of_other_images_are_noticed(ingested, dataset, taxonomy):
    """Images that were ingested anew, segments that were not."""
    segmented(ingested, taxonomy)
    for row in dataset.rows:
        if row["file_name"] == "images/0000.png":
            row["split"] = "oracle"
    dataset.write()
    ingest(ingested, dataset.settings(), Path("/"), taxonomy, True, silent)
    with pytest.raises(ValueError, match="run the segments stage again"):
        list(iterate_masks(ingested))


def test_reading_before_the_stage_ran_says_so(ingested):
    with pytest.raises(FileNotFoundError, match="'segments' has not run"):
        SegmentReader(ingested)
    with pytest.raises(FileNotFoundError, match="'segments' has not run"):
        next(iterate_masks(ingested))
