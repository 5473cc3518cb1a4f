"""Pixels and rows that come back from the store."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_contracts import ContractError
from heml.compute.progress import silent
from heml.images.images_table import (
    ImageReader,
    decode_image,
    decode_mask,
    displayed_size,
    image_index,
    iterate_images,
    open_image,
)
from heml.sources.ingest import ingest
from heml.storage.manifest import write_manifest


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pixels_of(image: Image.Image, form: str = "PNG", **options) -> np.ndarray:
    decoded = decode_image(encoded(image, form, **options))
    assert decoded.dtype == np.uint8
    assert decoded.shape == (image.height, image.width, 3)
    return decoded


# --- decoding -----------------------------------------------------------------------------------


def test_rgb_is_unchanged():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(pixels_of(Image.fromarray(pixels)), pixels)


def test_gray_has_three_equal_channels():
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(pixels_of(Image.fromarray(gray)), np.dstack([gray] * 3))


def test_black_and_white_is_0_and_255():
    image = Image.fromarray(np.array([[True, False]]))
    np.testing.assert_array_equal(pixels_of(image), [[[255] * 3, [0] * 3]])


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_not_cut(form):
    deep = np.array([[0, 200, 257, 128 * 257, 65535]], np.uint16)
    decoded = pixels_of(Image.fromarray(deep), form)
    np.testing.assert_array_equal(decoded[0, :, 0], [0, 1, 1, 128, 255])


def test_palette_gives_its_colors():
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([10, 20, 30, 200, 100, 50])
    np.testing.assert_array_equal(pixels_of(image), [[[10, 20, 30], [200, 100, 50]]])


def test_palette_transparency_is_white():
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([10, 20, 30, 200, 100, 50])
    np.testing.assert_array_equal(
        pixels_of(image, transparency=0), [[[255, 255, 255], [200, 100, 50]]]
    )


def test_cmyk_gives_its_colors():
    inks = np.zeros((8, 8, 4), np.uint8)
    inks[..., 0] = 255  # cyan alone
    decoded = pixels_of(Image.fromarray(inks, "CMYK"), "TIFF")
    np.testing.assert_array_equal(decoded[0, 0], [0, 255, 255])
    decoded = pixels_of(Image.fromarray(inks, "CMYK"), "JPEG", quality=100)
    np.testing.assert_allclose(decoded[0, 0].astype(int), [0, 255, 255], atol=4)


def test_transparency_is_put_on_white():
    rgba = np.array([[[200, 0, 0, 0], [200, 0, 0, 255], [200, 0, 0, 128]]], np.uint8)
    decoded = pixels_of(Image.fromarray(rgba))
    np.testing.assert_array_equal(decoded[0, :2], [[255, 255, 255], [200, 0, 0]])
    np.testing.assert_allclose(decoded[0, 2].astype(int), [227, 127, 127], atol=1)


def test_transparent_gray_is_put_on_white():
    la = np.array([[[10, 0], [10, 255]]], np.uint8)
    decoded = pixels_of(Image.fromarray(la, "LA"))
    np.testing.assert_array_equal(decoded, [[[255] * 3, [10] * 3]])


def exif(orientation: int) -> Image.Exif:
    content = Image.Exif()
    content[0x0112] = orientation
    return content


@pytest.mark.parametrize(
    ("orientation", "displayed"),
    [
        (1, [[1, 2, 3], [4, 5, 6]]),
        (2, [[3, 2, 1], [6, 5, 4]]),
        (3, [[6, 5, 4], [3, 2, 1]]),
        (4, [[4, 5, 6], [1, 2, 3]]),
        (5, [[1, 4], [2, 5], [3, 6]]),
        (6, [[4, 1], [5, 2], [6, 3]]),
        (7, [[6, 3], [5, 2], [4, 1]]),
        (8, [[3, 6], [2, 5], [1, 4]]),
        (9, [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_exif_orientation_is_applied_to_images_and_masks(orientation, displayed):
    stored = Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    data = encoded(stored, exif=exif(orientation))
    np.testing.assert_array_equal(decode_image(data)[..., 0], displayed)
    np.testing.assert_array_equal(decode_mask(data), displayed)
    # Pillow turns TIFF by itself
    for options in ({}, {"compression": "tiff_lzw"})[: 1 if orientation == 9 else 2]:
        data = encoded(stored, "TIFF", exif=exif(orientation), **options)
        np.testing.assert_array_equal(decode_image(data)[..., 0], displayed)
        np.testing.assert_array_equal(decode_mask(data), displayed)
        with open_image(data) as image:
            assert displayed_size(image) == np.shape(displayed)[::-1]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_data_turn_nothing():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    data = encoded(Image.fromarray(pixels), exif=b"Exif\0\0MM\0*\xff\xff\xff\xffbroken")
    np.testing.assert_array_equal(decode_image(data)[..., 0], pixels)


def test_mask_ids_are_palette_indices_not_colors():
    ids = np.array([[0, 3], [1, 2]], np.uint8)
    image = Image.fromarray(ids)
    image.putpalette([255, 255, 255] * 4)
    np.testing.assert_array_equal(decode_mask(encoded(image)), ids)
    assert decode_mask(encoded(image)).dtype == np.uint8


@pytest.mark.parametrize("pixels", [np.zeros((2, 2, 3), np.uint8), np.full((2, 2), 256, np.uint16)])
def test_masks_without_8_bit_ids_are_refused(pixels):
    with pytest.raises(ValueError, match="class id"):
        decode_mask(encoded(Image.fromarray(pixels)))


# --- reading ------------------------------------------------------------------------------------


@pytest.fixture
def stored(dataset, store, taxonomy):
    """150 images: three row groups."""
    dataset.good(150)
    dataset.write()
    ingest(store, dataset.settings(), Path("/"), taxonomy, True, silent)
    return store


def test_index_has_the_small_columns_in_stored_order(stored, dataset):
    index = image_index(stored, ["tone"])
    assert index.columns.tolist() == ["image_id", "split", "label", "tone"]
    assert index["image_id"].tolist() == [f"images/{n:04d}" for n in range(150)]
    for column in ("split", "label", "tone"):
        assert index[column].tolist() == [row[column] for row in dataset.rows]


def test_index_refuses_a_column_that_the_input_has_not(stored):
    with pytest.raises(KeyError, match="no column 'tones'; did you mean 'tone'"):
        image_index(stored, ["tones"])


def test_iteration_gives_all_rows_in_order(stored, dataset):
    ids = []
    for batch in iterate_images(stored, ["label", "image_id"], batch_size=7):
        assert isinstance(batch, pa.RecordBatch)
        assert batch.schema.names == ["label", "image_id"]
        assert batch.num_rows <= 7
        ids += batch["image_id"].to_pylist()
    assert ids == image_index(stored, [])["image_id"].tolist()


def test_reader_gives_what_iteration_gives(stored):
    columns = ["image_id", "image", "mask", "label", "input.tone"]
    rows = [row for batch in iterate_images(stored, columns) for row in batch.to_pylist()]
    reader = ImageReader(stored)
    assert len(reader) == 150
    order = np.random.default_rng(0).permutation(150)
    ids = [rows[n]["image_id"] for n in order]
    assert reader.rows(ids, columns) == [rows[n] for n in order]


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_reader_takes_repeated_ids_and_any_columns(stored, cache_bytes):
    reader = ImageReader(stored, cache_bytes)
    ids = ["images/0149", "images/0000", "images/0149"]
    for _ in range(2):
        assert reader.rows(ids, ["image_id"]) == [{"image_id": i} for i in ids]
        assert [r["width"] for r in reader.rows(ids, ["width"])] == [24] * 3
    assert reader.rows([], ["image_id"]) == []


def test_reader_knows_its_ids(stored):
    reader = ImageReader(stored)
    assert "images/0000" in reader
    assert "images/0150" not in reader
    with pytest.raises(KeyError, match="no image 'images/0150'"):
        reader.rows(["images/0150"], ["label"])


def test_reading_before_the_stage_ran_says_so(store):
    with pytest.raises(FileNotFoundError, match="'images' has not run"):
        image_index(store, [])
    with pytest.raises(FileNotFoundError, match="'images' has not run"):
        next(iterate_images(store, ["image_id"]))


def test_a_table_of_another_version_is_refused(stored):
    path = stored.images / "part-00000.parquet"
    table = pq.read_table(path)
    metadata = table.schema.metadata | {b"heml.contract_version": b"2.0"}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    write_manifest(stored.root, "images", "", {}, [stored.images])
    with pytest.raises(ContractError, match="version 1"):
        image_index(stored, [])
