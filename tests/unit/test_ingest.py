"""The images stage: every row is accounted for, once and with the right reason."""

import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin
from pydantic import ValidationError

from data_contracts import IMAGES, QUARANTINE
from data_contracts.quarantine import REASONS
from heml.compute.progress import silent
from heml.images.groups import MISSING
from heml.images.images_table import decode_image, decode_mask, image_index, iterate_images
from heml.sources.folder import FolderReader
from heml.sources.ingest import TooManyRefused, ingest, quarantined
from heml.sources.layouts.portraits import PortraitsSource
from heml.sources.raw import SourceError, Unacceptable
from heml.sources.validate import check_mask
from heml.storage.store import Store
from heml.taxonomy import TaxonomyError, builtin


@pytest.fixture
def run(dataset, store, taxonomy):
    """Runs the stage on the dataset."""

    def run_stage(annotated=True, into=store, **changes):
        dataset.write()
        settings = dataset.settings(**changes)
        return ingest(into, settings, Path("/"), taxonomy, annotated, silent)

    return run_stage


def reasons(store) -> list[tuple[int, str]]:
    return [(row["row"], row["reason"]) for row in quarantined(store)]


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels), "PNG")


def png_header(width: int, height: int) -> bytes:
    """A PNG that only claims a size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def noise(seed: int, shape: tuple[int, ...] = (16, 24, 3)) -> np.ndarray:
    return np.random.default_rng(1000 + seed).integers(0, 256, shape, np.uint8)


# --- accounting ---------------------------------------------------------------------------------


def test_a_good_dataset_is_accepted_whole(dataset, run, store):
    dataset.good(16)
    outcome = run()
    assert not outcome.reused
    counts = outcome.summary
    assert (counts["read"], counts["accepted"], counts["quarantined"], counts["excluded"]) == (
        16,
        16,
        0,
        0,
    )
    assert counts["accepted_by_split"] == {"test": 8, "train": 8}
    assert counts["classes"] == {"0": "background", "1": "shape", "2": "void"}
    assert counts["groups"] == {
        f"label={label} · tone={tone}": 2
        for label in ("round", "square")
        for tone in ("dark", "light")
    }
    assert reasons(store) == []


def test_tables_keep_their_contracts(dataset, run, store):
    dataset.good(16)
    dataset.row(file_name="images/nowhere.png")
    run()
    (batch,) = iterate_images(store, IMAGES.column_names)
    IMAGES.validate(batch.to_pandas())
    table = pq.read_table(store.quarantine)
    QUARANTINE.check_version(table.schema)
    QUARANTINE.validate(table.to_pandas())


def test_the_stored_row_is_the_input(dataset, run, store):
    dataset.good(8)
    image = encoded(Image.fromarray(noise(1)), "JPEG")
    dataset.row(image, file_name="images/photo.jpg", label="round", tone="", extra="x")
    for row in dataset.rows:
        row.setdefault("extra", "")
    dataset.rows[-1]["tone"] = "light"
    run()
    (batch,) = iterate_images(store, ["image_id", "image", "mask", "width", "height", "label"])
    row = batch.to_pylist()[-1]
    assert row["image"] == {"bytes": image, "path": "images/photo.jpg"}
    assert (row["image_id"], row["width"], row["height"]) == ("images/photo", 24, 16)
    assert row["label"] == "round"
    with Image.open(io.BytesIO(row["mask"])) as mask:
        assert (mask.format, mask.mode) == ("PNG", "L")
    (batch,) = iterate_images(store, ["input.extra", "input.label", "input.split"])
    assert batch.to_pylist()[-1] == {
        "input.extra": "x",
        "input.label": "round",
        "input.split": "train",
    }
    assert batch.to_pylist()[0]["input.extra"] is None


def bad_rows(dataset) -> dict[int, str]:
    """One row for every reason but those that need a broken table or file system."""
    expected: dict[int, str] = {}

    def bad(reason: str, **row) -> None:
        expected[len(dataset.rows)] = reason
        dataset.row(**row)

    photo = encoded(Image.fromarray(noise(2)), "JPEG")
    frames = [Image.fromarray(noise(n)) for n in (3, 4)]
    ids = np.zeros((16, 24), np.uint8)
    bad("missing_file", file_name="images/nowhere.png")
    bad("unsafe_path", file_name="../secret.png")
    bad("not_an_image", image=b"no image at all")
    bad("truncated", image=photo[: len(photo) // 2])
    bad("too_large", image=png(noise(5, (40, 40, 3))))
    bad("empty_image", image=png_header(0, 16))
    bad("animated", image=encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    bad("missing_mask", mask_name="")
    bad("mask_unreadable", mask=b"no mask at all")
    bad("mask_size", mask=png(ids[:-1]))
    bad("unknown_class", mask=png(ids + 9))
    bad("duplicate_id", file_name="images/0000.png")
    bad("duplicate_content", image=(dataset.root / "images/0001.png").read_bytes())
    with Image.open(dataset.root / "images/0001.png") as image:
        bad("near_duplicate", image=encoded(image, "BMP"), split="test")
    bad("missing_label", label=" ")
    bad("unknown_label", label="triangular")
    return expected


def test_a_record_without_a_attribute_value_is_kept(dataset, run, store):
    dataset.good(16)
    dataset.row(tone="")
    dataset.row(tone="  ")
    dataset.write()
    summary = run().summary
    assert (summary["accepted"], summary["quarantined"]) == (18, 0)
    values = image_index(store, ["tone"])["tone"].tolist()
    assert values[16:] == [MISSING, MISSING]
    assert MISSING not in values[:16]
    assert sum(n for group, n in summary["groups"].items() if MISSING in group) == 2


def test_every_reason_at_once_gives_one_row_each_and_the_run_goes_on(dataset, run, store):
    dataset.good(16)
    expected = bad_rows(dataset)
    dataset.row(split="oracle")
    dataset.good(16)
    dataset.write()
    with (dataset.root / "metadata.csv").open("a") as file:
        file.write("only,two\n")
    expected[len(dataset.rows)] = "malformed_row"
    assert set(expected.values()) | {"unreadable_file", "split_subject"} == set(REASONS)

    dataset.write = lambda: None  # keep the ragged row
    counts = run(max_pixels=1000, max_refused=0.5, labels=["round", "square"]).summary
    assert reasons(store) == sorted(expected.items())
    assert counts["reasons"] == dict.fromkeys(sorted(expected.values()), 1)
    assert (counts["read"], counts["accepted"]) == (16 + len(expected) + 1 + 16, 32)
    assert (counts["quarantined"], counts["excluded"]) == (len(expected), 1)
    assert counts["excluded_by_split"] == {"oracle": 1}


def test_a_file_that_may_not_be_read_is_refused(dataset, run, store, monkeypatch):
    dataset.good(16)
    secret = dataset.root / dataset.row()
    read_bytes = Path.read_bytes

    def denied(self):
        if self == secret:
            raise PermissionError(13, "Permission denied")
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", denied)
    run()
    assert reasons(store) == [(16, "unreadable_file")]


def test_excluded_rows_do_not_make_others_duplicates(dataset, run, store):
    """A row may be listed for training and again for another purpose."""
    dataset.good(16)
    for row in list(dataset.rows):
        dataset.rows.insert(0, row | {"split": "oracle"})
    counts = run().summary
    assert (counts["accepted"], counts["quarantined"], counts["excluded"]) == (16, 0, 16)


def test_a_refused_row_does_not_make_others_duplicates(dataset, run, store):
    dataset.good(16)
    name = dataset.row(label="")
    dataset.row(file_name=name, mask_name=dataset.rows[-1]["mask_name"])
    run()
    assert reasons(store) == [(16, "missing_label")]


def test_the_same_picture_in_two_splits_is_kept_once(dataset, run, store):
    dataset.good(16)
    leaked = (dataset.root / "images/0000.png").read_bytes()
    dataset.row(leaked, split="test", label="round")
    run()
    assert reasons(store) == [(16, "duplicate_content")]
    (refused,) = quarantined(store)
    assert "images/0000" in refused["detail"]


def smooth(seed: int) -> Image.Image:
    small = Image.fromarray(noise(seed, (6, 8, 3)))
    return small.resize((24, 16), Image.Resampling.BICUBIC)


def test_what_looks_the_same_never_crosses_splits(dataset, run, store):
    dataset.good(16)
    dataset.row(encoded(smooth(1), "PNG"), split="train")
    dataset.row(encoded(smooth(1), "JPEG", quality=97, subsampling=0), split="train")
    dataset.row(encoded(smooth(1), "JPEG", quality=98, subsampling=0), split="test")
    dataset.row(encoded(smooth(2), "PNG"), split="test")
    counts = run().summary
    assert reasons(store) == [(18, "near_duplicate")]
    assert "looks like 'images/0016' of 'train'" in next(quarantined(store))["detail"]
    assert counts["near_duplicates"] == 1  # within train: kept, and told
    assert run(near_duplicates="keep").summary["quarantined"] == 0


def test_a_subject_never_spans_splits(dataset, run, store):
    for number in range(16):
        dataset.row(person=str(number))
    dataset.row(split="train", person="anna")
    dataset.row(split="test", person="anna")
    dataset.row(split="train", person="")
    dataset.row(split="test", person="")
    run(split_by="person")
    assert reasons(store) == [(17, "split_subject")]
    assert next(quarantined(store))["detail"] == "'anna' is in the split 'train'"


def test_drawn_splits_keep_subjects_together(dataset, run, store):
    for number in range(64):
        dataset.row(person=str(number % 16))
    outcome = run(split=None, split_by="person")
    assert outcome.summary["quarantined"] == 0
    assert len(outcome.summary["accepted_by_split"]) > 1
    found: dict[str, set[str]] = {}
    for batch in iterate_images(store, ["split", "input.person"]):
        for row in batch.to_pylist():
            found.setdefault(row["input.person"], set()).add(row["split"])
    assert {len(splits) for splits in found.values()} == {1}
    with pytest.raises(SourceError, match=r"source\.split_by: .* did you mean 'person'"):
        run(split_by="persons")


def test_too_many_refusals_stop_the_run_but_leave_the_reasons(dataset, run, store):
    dataset.good(16)
    for _ in range(5):
        dataset.row(label="")
    dataset.row(image=b"")
    with pytest.raises(TooManyRefused) as error:
        run()
    message = str(error.value)
    assert "6 of 22 rows (27%) were refused, the limit is 20%" in message
    assert "missing_label (5" in message
    assert str(store.quarantine) in message
    assert len(reasons(store)) == 6
    assert not store.images.exists()
    with pytest.raises(FileNotFoundError):
        store.summary("images")
    assert run(max_refused=0.5).summary["accepted"] == 16


def test_refusals_may_not_empty_a_label(dataset, run):
    dataset.good(16)
    for number, row in enumerate(dataset.rows):
        if row["label"] == "round":
            dataset.put(f"images/{number:04d}.png", b"broken")
    with pytest.raises(SourceError, match="fewer than two values of 'label'"):
        run(max_refused=1)


# --- images and masks that are fine -------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "form"),
    [("L", "PNG"), ("P", "PNG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("1", "PNG"), ("LA", "PNG")]
    + [("RGB", form) for form in ("BMP", "GIF", "JPEG", "PPM", "TIFF", "WEBP")],
)
def test_images_of_other_kinds_are_accepted(dataset, run, mode, form):
    dataset.good(16)
    dataset.row(encoded(Image.fromarray(noise(1)).convert(mode), form))
    assert run().summary["quarantined"] == 0


def test_sixteen_bit_and_multi_picture_photographs_are_accepted(dataset, run):
    dataset.good(16)
    dataset.row(png(noise(1, (16, 24)).astype(np.uint16) * 256))
    first, second = (Image.fromarray(noise(n)) for n in (2, 3))
    dataset.row(encoded(first, "MPO", save_all=True, append_images=[second]))
    assert run().summary["quarantined"] == 0


def long_texts(pixels: np.ndarray) -> list[bytes]:
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", "x" * 2_000_000, zip=True)
    image = Image.fromarray(pixels)
    return [
        encoded(image, "PNG", pnginfo=text),
        encoded(image, "PNG", icc_profile=bytes(2_000_000)),
    ]


def test_long_texts_and_profiles_are_no_truncation(dataset, run, store):
    dataset.good(16)
    for seed, position in ((1, 0), (2, 1)):
        dataset.row(long_texts(noise(seed))[position])
    assert run().summary["quarantined"] == 0
    (batch,) = iterate_images(store, ["image"])
    for seed, row in zip((1, 2), batch.to_pylist()[16:], strict=True):
        np.testing.assert_array_equal(Image.open(io.BytesIO(row["image"]["bytes"])), noise(seed))


def test_plain_readers_decode_every_stored_image_as_displayed(dataset, run, store):
    dataset.good(16)
    gray = noise(1, (16, 24))
    clear = np.dstack([noise(2), np.where(gray > 99, 255, 0).astype(np.uint8)])
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(noise(3, (24, 16, 3)))
    given = [
        png(gray.astype(np.uint16) * 257),
        png(clear),
        encoded(lying, "PNG", exif=exif),
        encoded(lying.transpose(Image.Transpose.ROTATE_180), "TIFF", exif=exif),
        encoded(Image.fromarray(noise(5)), "WEBP", lossless=True),
        png(np.dstack([noise(6), np.full((16, 24), 255, np.uint8)])),
    ]
    for data in given:
        dataset.row(data)
    assert run().summary["quarantined"] == 0
    (batch,) = iterate_images(store, ["image", "sha256", "source_sha256"])
    rows = batch.to_pylist()[16:]
    white = np.where(clear[..., 3:] == 255, clear[..., :3], 255)
    shown = [
        *(np.repeat(gray[..., None], 3, 2), white, np.rot90(noise(3, (24, 16, 3)), -1)),
        *(np.rot90(noise(3, (24, 16, 3)), 1), noise(5), noise(6)),
    ]
    for row, data, pixels in zip(rows, given, shown, strict=True):
        stored = row["image"]["bytes"]
        np.testing.assert_array_equal(Image.open(io.BytesIO(stored)).convert("RGB"), pixels)
        np.testing.assert_array_equal(decode_image(stored), pixels)
        assert row["sha256"] == hashlib.sha256(stored).hexdigest()
        assert row["source_sha256"] == hashlib.sha256(data).hexdigest()
    # where readers agree, the input's bytes stay
    assert [row["image"]["bytes"] == data for row, data in zip(rows, given, strict=True)] == [
        *(False, False, False, False),
        *(True, True),
    ]


def turned_photo(seed: int, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(noise(seed)), "JPEG", exif=exif)


def test_sizes_are_compared_as_displayed(dataset, run, store):
    dataset.good(16)
    upright = np.zeros((24, 16), np.uint8)
    dataset.row(turned_photo(1, 6), mask=png(upright))
    dataset.row(turned_photo(2, 3), mask=png(upright.T))
    dataset.row(turned_photo(3, 6), mask=png(upright.T))
    run()
    assert reasons(store) == [(18, "mask_size")]
    (batch,) = iterate_images(store, ["width", "height"])
    assert batch.to_pylist()[16:] == [{"width": 16, "height": 24}, {"width": 24, "height": 16}]


def test_a_mask_is_turned_by_its_own_orientation_alone_and_once(dataset, run, store):
    dataset.good(16)
    ids = np.zeros((24, 16), np.uint8)
    ids[:6, :3] = 1
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(np.rot90(ids).copy())
    dataset.row(turned_photo(1, 6), mask=png(ids))
    dataset.row(turned_photo(2, 6), mask=encoded(lying, "PNG", exif=exif))
    assert run().summary["quarantined"] == 0
    (batch,) = iterate_images(store, ["mask", "image"])
    for row in batch.to_pylist()[16:]:
        np.testing.assert_array_equal(decode_mask(row["mask"]), ids)
        assert decode_image(row["image"]["bytes"]).shape == (24, 16, 3)


def test_masks_of_other_kinds_keep_their_ids(dataset, run, store):
    dataset.good(16)
    ids = noise(1, (16, 24)) % 3
    palette = Image.fromarray(ids)
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    for mask in (
        encoded(palette, "PNG"),
        encoded(palette, "PNG", bits=2),
        encoded(Image.fromarray(ids), "TIFF"),
        png(ids.astype(np.uint16)),
    ):
        dataset.row(mask=mask)
    assert run().summary["quarantined"] == 0
    (batch,) = iterate_images(store, ["mask"])
    for row in batch.to_pylist()[16:]:
        np.testing.assert_array_equal(decode_mask(row["mask"]), ids)


def indexed(indices: np.ndarray, colors: list[tuple[int, int, int]]) -> bytes:
    image = Image.fromarray(indices)
    image.putpalette([value for color in colors for value in color])
    return encoded(image, "PNG")


def test_a_palette_of_grays_is_read_by_what_it_shows_where_only_that_is_known(dataset, run, store):
    (dataset.root / "classes.json").write_text('{"0": "background", "100": "shape", "255": "void"}')
    for _ in range(16):
        dataset.row(mask=png(dataset.ids() * 100))
    ids = np.zeros((16, 24), np.uint8)
    ids[:4] = 1
    dataset.row(mask=indexed(ids, [(255, 255, 255), (100, 100, 100)]))
    assert run().summary["quarantined"] == 0
    (batch,) = iterate_images(store, ["mask"])
    shown = decode_mask(batch.to_pylist()[16]["mask"])
    np.testing.assert_array_equal(shown, np.where(ids == 1, 100, 255))


def test_a_palette_of_grays_that_may_mean_both_is_refused(dataset, run, store):
    dataset.good(16)
    dataset.row(mask=indexed(dataset.ids(), [(1, 1, 1), (0, 0, 0)]))
    dataset.row(mask=indexed(dataset.ids(), [(0, 0, 0), (200, 200, 200)]))  # to look at
    run()
    assert reasons(store) == [(16, "mask_unreadable")]
    assert "index 0 as gray 1" in next(quarantined(store))["detail"]


def test_pixels_of_no_class_are_told_where_to_name_them(dataset, run, store):
    dataset.good(16)
    for _ in range(8):
        ids = dataset.ids()
        ids[:3] = 255
        dataset.row(mask=png(ids))
    with pytest.raises(TooManyRefused, match=r"as 255: void, and in taxonomy\.ignored"):
        run()


def test_colors_of_masks_are_class_ids_where_the_recipe_names_them(dataset, run, store):
    dataset.good(16)
    ids = dataset.ids()
    colors = np.array([[0, 0, 0], [255, 0, 128]], np.uint8)
    dataset.row(mask=png(colors[ids]))
    dataset.row(mask=png(np.full((16, 24, 3), 7, np.uint8)))
    with pytest.raises(ValidationError, match="mask_colors"):
        run(mask_colors={"red": 1})
    run()
    assert reasons(store) == [(16, "mask_unreadable"), (17, "mask_unreadable")]
    assert "source.mask_colors" in next(quarantined(store))["detail"]
    run(mask_colors={"#000000": 0, "#FF0080": 1})
    assert reasons(store) == [(17, "unknown_class")]
    assert "#070707" in next(quarantined(store))["detail"]
    (batch,) = iterate_images(store, ["mask"])
    np.testing.assert_array_equal(decode_mask(batch.to_pylist()[16]["mask"]), ids)


def test_masks_that_have_no_ids_are_unreadable(dataset, run, store):
    dataset.good(16)
    dataset.row(mask=png(noise(1)))
    dataset.row(mask=encoded(Image.fromarray(np.zeros((16, 24), np.uint8)), "JPEG"))
    run()
    assert reasons(store) == [(16, "mask_unreadable"), (17, "mask_unreadable")]
    assert "save masks as PNG" in list(quarantined(store))[1]["detail"]


def test_a_mask_of_another_size_is_refused_before_it_is_decoded():
    header = png_header(9000, 9000)
    with pytest.raises(Unacceptable, match="the mask is 9000×9000") as error:
        check_mask(header, (24, 16), {0})
    assert error.value.refusal.reason == "mask_size"


def test_masks_are_optional_where_another_segmenter_runs(dataset, run, store):
    dataset.good(16)
    dataset.row(mask_name="")
    assert run(annotated=False).summary["accepted"] == 17
    (batch,) = iterate_images(store, ["mask"])
    assert batch["mask"].null_count == 1


# --- before anything is computed ----------------------------------------------------------------


def test_a_class_that_the_taxonomy_does_not_name_is_refused_first(dataset, run, store):
    dataset.good(16)
    dataset.classes({0: "background", 1: "shapes"})
    with pytest.raises(TaxonomyError, match="'shapes'; did you mean 'shape'"):
        run()
    assert not store.root.exists()


def test_a_source_that_cannot_work_is_refused_first(dataset, run, store):
    dataset.good(16)
    with pytest.raises(SourceError):
        run(label="nothing")
    assert not store.root.exists()


# --- running again ------------------------------------------------------------------------------


def files(store) -> dict[str, bytes]:
    paths = [*store.images.glob("*"), store.quarantine]
    return {path.name: path.read_bytes() for path in paths}


def test_two_runs_write_the_same_bytes(dataset, run, store, tmp_path):
    dataset.good(80)
    dataset.row(label="")
    other = Store(tmp_path / "other")
    first, second = run(), run(into=other)
    assert not second.reused
    assert first.summary["content"] == second.summary["content"]
    assert files(store) == files(other)


def test_a_second_run_keeps_the_result_until_the_input_changes(dataset, run, store):
    dataset.good(16)
    content = run().summary["content"]
    assert run().reused
    dataset.put("images/0003.png", png(noise(1)))
    outcome = run()
    assert not outcome.reused
    assert outcome.summary["content"] != content
    assert run().reused


def test_touching_a_file_runs_again_with_the_same_content(dataset, run):
    dataset.good(16)
    content = run().summary["content"]
    os.utime(dataset.root / "images/0000.png", ns=(1, 1))
    outcome = run()
    assert not outcome.reused
    assert outcome.summary["content"] == content


def test_content_follows_columns_and_masks_but_not_encoding(dataset, run):
    dataset.good(16)
    content = run().summary["content"]
    ids = decode_mask((dataset.root / "masks/0000.png").read_bytes())
    dataset.put("masks/0000.png", encoded(Image.fromarray(ids), "TIFF"))
    assert run().summary["content"] == content
    ids[0, 0] = 1
    dataset.put("masks/0000.png", png(ids))
    other = run().summary["content"]
    assert other != content
    for row in dataset.rows:
        row["extra"] = "1"
    assert run().summary["content"] not in (content, other)


@pytest.mark.parametrize("before", [False, True])
def test_an_interrupted_run_leaves_nothing_half(dataset, run, store, monkeypatch, before):
    dataset.good(100)
    if before:
        run()
        kept = files(store)
        os.utime(dataset.root / "images/0000.png", ns=(1, 1))
    records = FolderReader.records

    def interrupted(self):
        for record in records(self):
            if record.row == 90:
                raise KeyboardInterrupt
            yield record

    with monkeypatch.context() as patch:
        patch.setattr(FolderReader, "records", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run()
    if before:
        assert files(store) == kept
    else:
        left = [p for p in store.root.rglob("*") if p.is_file()]
        assert left == [store.root / ".locks/images"], "the lock that the kernel gives back"
        assert not store.images.exists()
    assert run().summary["accepted"] == 100


def test_many_rows_become_several_small_row_groups(dataset, run, store):
    dataset.good(130)
    run()
    (path,) = store.images.glob("*")
    footer = pq.read_metadata(path)
    assert path.name == "part-00000.parquet"
    assert [footer.row_group(n).num_rows for n in range(footer.num_row_groups)] == [64, 64, 2]
    assert image_index(store, [])["image_id"].tolist() == [f"images/{n:04d}" for n in range(130)]


def test_progress_tells_the_counts(dataset, store, taxonomy, monkeypatch):
    dataset.good(16)
    dataset.row(label="")
    dataset.write()
    lines: list[str] = []
    monkeypatch.setattr(
        "heml.compute.throttled_progress.ThrottledProgress.tell",
        lambda self, line: lines.append(line),
    )
    ingest(store, dataset.settings(), Path("/"), taxonomy, True, silent)
    assert lines[-1] == "images: 17 read, 1 refused"


# --- portraits ----------------------------------------------------------------------------------


def portraits(**changes) -> PortraitsSource:
    content = {"kind": "portraits", "count": 100, "size": 32, "validation_share": 0.2}
    return PortraitsSource.model_validate(content | changes)


def ingest_portraits(store, **changes):
    return ingest(store, portraits(**changes), Path("/"), builtin("portraits"), True, silent)


def test_portraits_have_the_planted_bias_and_balanced_other_splits(store):
    summary = ingest_portraits(store, association=0.8).summary
    assert summary["accepted_by_split"] == {"test": 30, "train": 50, "validation": 20}
    assert sorted(summary["groups"].values()) == [5, 5, 20, 20]
    index = image_index(store, ["hair_tone"])
    groups = index.groupby(["split", "label", "hair_tone"]).size()
    assert set(groups["validation"]) == {5}
    assert set(groups["test"]) <= {7, 8}
    assert index["image_id"].iloc[0] == "portrait-000000"
    assert ingest_portraits(store, association=0.8).reused
    assert not ingest_portraits(store, association=0.8, seed=1).reused


def test_portraits_carry_all_attributes_as_columns(store):
    ingest_portraits(store)
    (batch, *_) = iterate_images(store, ["input.mouth", "label", "input.brows"])
    row = batch.to_pylist()[0]
    assert row["input.mouth"] == row["label"]
    assert row["input.brows"] in ("thin", "thick")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": "mout"}, "source.label.*'mout'; did you mean 'mouth'"),
        ({"attributes": ["hair"]}, "source.attributes.*'hair'; did you mean 'hair_tone'"),
        ({"attributes": ["mouth"]}, "also the label"),
        ({"test_share": 0.9, "validation_share": 0.3}, "no train portraits"),
    ],
)
def test_portraits_that_cannot_be_drawn_are_refused(store, changes, words):
    with pytest.raises(SourceError, match=words):
        ingest_portraits(store, **changes)
    assert not store.root.exists()
