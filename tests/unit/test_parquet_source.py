"""Pictures in Parquet files: every form of the image column, splits, ids, paths and state."""

import io
import os
from datetime import date
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import png
from PIL import Image

from heml.compute.progress import silent
from heml.sources.ingest import ingest, quarantined
from heml.sources.layouts.parquet import ParquetSource as Settings
from heml.sources.parquet import ParquetReader
from heml.sources.raw import SourceError

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
CLASSES = {0: "background", 1: "shape", 2: "void"}


def image(number: int) -> bytes:
    return png(np.random.default_rng(number).integers(0, 256, (16, 24, 3), np.uint8))


def mask(number: int) -> bytes:
    ids = np.zeros((16, 24), np.uint8)
    ids[2 : 6 + number % 8, 3:9] = 1
    return png(ids)


def table(count: int = 16, first: int = 0, **columns: Any) -> pa.Table:
    numbers = range(first, first + count)
    content = {
        "image": pa.array([{"bytes": image(n), "path": f"{n}.png"} for n in numbers], PICTURE),
        "mask": pa.array([{"bytes": mask(n), "path": None} for n in numbers], PICTURE),
        "label": ["round" if n % 2 else "square" for n in numbers],
        "tone": ["light" if n % 8 < 4 else "dark" for n in numbers],
        "split": ["train" if n % 4 < 2 else "test" for n in numbers],
    } | columns
    return pa.table({name: value for name, value in content.items() if value is not None})


def source(root: Path | str, **changes: Any) -> ParquetReader:
    content = {"kind": "parquet", "root": str(root), "label": "label", "attributes": ["tone"]}
    return ParquetReader(
        Settings.model_validate(content | {"classes": CLASSES} | changes), Path("/")
    )


def records(root: Path | str, **changes: Any):
    reader = source(root, **changes)
    reader.check(annotated="mask" in reader.column_names)
    return list(reader.records())


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "data.parquet"
    pq.write_table(table(), path)
    return path


def test_one_file_is_read(file):
    rows = records(file)
    assert len(rows) == 16
    assert rows[3].image == image(3)
    assert rows[3].mask == mask(3)
    assert (rows[3].image_id, rows[3].file_name) == ("data-000003", "3.png")
    assert rows[3].columns == {"label": "round", "tone": "light", "split": "test"}


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_bytes_are_read(tmp_path, kind):
    data = table(image=pa.array([image(n) for n in range(16)], kind))
    pq.write_table(data, tmp_path / "data.parquet")
    rows = records(tmp_path / "data.parquet")
    assert rows[5].image == image(5)
    assert rows[5].file_name == "data-000005"


@pytest.mark.parametrize("as_struct", [False, True])
def test_paths_start_at_the_files_folder(tmp_path, as_struct):
    for number in range(16):
        (tmp_path / f"{number}.png").write_bytes(image(number))
    names: list[Any] = [f"{number}.png" for number in range(14)] + ["../x.png", "/etc/passwd"]
    if as_struct:
        names = [{"bytes": None, "path": name} for name in names]
    pq.write_table(table(image=pa.array(names)), tmp_path / "data.parquet")
    rows = records(tmp_path / "data.parquet", split=None)
    assert rows[5].image == image(5)
    assert [row.refusal.reason for row in rows[14:]] == ["unsafe_path"] * 2


def test_other_columns_become_text_and_nested_ones_are_left_out(tmp_path):
    data = table(
        age=pa.array([None, 1.5, float("nan")] + [2.0] * 13),
        day=[date(2024, 5, 1)] * 16,
        tall=[True] * 16,
        box=[[1, 2]] * 16,
        raw=[b"x"] * 16,
    )
    pq.write_table(data, tmp_path / "data.parquet")
    rows = records(tmp_path / "data.parquet")
    assert list(rows[0].columns) == ["label", "tone", "split", "age", "day", "tall"]
    assert [row.columns["age"] for row in rows[:4]] == [None, "1.5", None, "2.0"]
    assert (rows[0].columns["day"], rows[0].columns["tall"]) == ("2024-05-01", "true")


def test_class_labels_have_their_names(tmp_path):
    from datasets import ClassLabel, Dataset, Features, Image, Value

    features = Features(
        {"image": Image(), "label": ClassLabel(names=["NA", "dog"]), "tone": Value("string")}
    )
    content = {
        "image": [{"bytes": image(n), "path": None} for n in range(20)],
        "label": [n % 2 for n in range(19)] + [-1],
        "tone": ["light" if n % 3 else "nan" for n in range(20)],
    }
    Dataset.from_dict(content, features).to_parquet(tmp_path / "data.parquet")
    rows = records(tmp_path / "data.parquet", mask=None, attributes=[])
    assert [row.columns["label"] for row in rows[:2]] == ["NA", "dog"]
    assert rows[19].columns["label"] is None
    reader = source(tmp_path / "data.parquet", mask=None, attributes=[])
    assert reader.value_orders() == {"label": ["NA", "dog"]}
    assert [row.columns["tone"] for row in rows[:2]] == [None, "light"]


# --- splits and ids -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        {"data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"},
        {"a.parquet", "b.parquet"},
    ],
)
def test_files_of_one_split_get_drawn_ones(tmp_path, names):
    for number, name in enumerate(sorted(names)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(table(20, 100 * number, split=None), tmp_path / name)
    assert {row.split for row in records(tmp_path)} == {"train", "validation", "test"}


def test_file_names_tell_the_splits(tmp_path):
    for name, count in (("train-0.parquet", 8), ("dev.parquet", 4), ("holdout.parquet", 2)):
        pq.write_table(table(count, 20 * count, split=None), tmp_path / name)
    splits = [row.split for row in records(tmp_path)]
    assert splits == ["validation"] * 4 + [None] * 2 + ["train"] * 8
    splits = [row.split for row in records(tmp_path, splits={"holdout": "test"})]
    assert splits == ["validation"] * 4 + ["test"] * 2 + ["train"] * 8


def test_folders_tell_the_splits(tmp_path):
    for number, name in enumerate(("train", "test")):
        (tmp_path / name).mkdir()
        pq.write_table(table(8, 20 * number, split=None), tmp_path / name / "0000.parquet")
    rows = records(tmp_path)
    assert [row.split for row in rows] == ["test"] * 8 + ["train"] * 8
    assert rows[0].image_id == "test/0000-000000"
    assert [row.row for row in rows] == list(range(16))


def test_folders_of_partitions_are_columns(tmp_path):
    whole = table().drop_columns(["label", "split"])
    for label in ("cat", "a%20dog", "__HIVE_DEFAULT_PARTITION__"):
        folder = tmp_path / f"split=train/label={label}"
        folder.mkdir(parents=True)
        pq.write_table(whole, folder / "part-0.parquet")
    rows = records(tmp_path)
    assert {row.columns["label"] for row in rows} == {"cat", "a dog", None}
    assert {row.split for row in rows} == {"train"}


def test_a_partition_of_a_class_is_no_split(tmp_path):
    whole = table().drop_columns(["label", "split"])
    for label in ("train", "test tube"):
        (tmp_path / f"label={label}").mkdir()
        pq.write_table(whole, tmp_path / f"label={label}/part-0.parquet")
    assert "drawn" in source(tmp_path).splits_come_from()
    assert {row.columns["label"] for row in records(tmp_path)} == {"train", "test tube"}


def test_ids_come_from_a_column_where_there_is_one(tmp_path):
    pq.write_table(table(image_id=[f"face {n}" for n in range(16)]), tmp_path / "a.parquet")
    assert records(tmp_path)[2].image_id == "face 2"
    pq.write_table(table(key=list(range(16))), tmp_path / "a.parquet")
    assert records(tmp_path, id="key")[2].image_id == "2"


def test_files_with_other_columns_are_read_together(tmp_path):
    pq.write_table(table(8), tmp_path / "a.parquet")
    pq.write_table(table(8, 8, age=list(range(8))), tmp_path / "b.parquet")
    rows = records(tmp_path)
    assert [row.columns["age"] for row in (rows[0], rows[8])] == [None, "0"]


# --- what is wrong ------------------------------------------------------------------------------


def test_a_number_is_one_value_in_files_of_other_types(tmp_path):
    pq.write_table(table(4, label=[0, 1, 0, 1]), tmp_path / "0.parquet")
    # With a missing value pandas writes whole numbers as floats.
    pq.write_table(table(4, 4, label=[0.0, 1.0, None, 1.0]), tmp_path / "1.parquet")
    found = [r.columns["label"] for r in source(tmp_path).records()]
    assert found == ["0", "1", "0", "1", "0", "1", None, "1"]


def test_rows_without_picture_or_mask_have_reasons(tmp_path, store, taxonomy):
    images = [{"bytes": image(n), "path": None} for n in range(32)]
    masks = [{"bytes": mask(n), "path": None} for n in range(32)]
    images[3], images[4], masks[5] = None, {"bytes": b"", "path": None}, None
    data = table(32, image=pa.array(images, PICTURE), mask=pa.array(masks, PICTURE))
    pq.write_table(data, tmp_path / "data.parquet")
    settings = source(tmp_path / "data.parquet").settings
    counts = ingest(store, settings, Path("/"), taxonomy, True, silent).summary
    assert [(row["row"], row["reason"]) for row in quarantined(store)] == [
        (3, "missing_file"),
        (4, "empty_image"),
        (5, "missing_mask"),
    ]
    assert (counts["read"], counts["accepted"]) == (32, 29)


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def noise(number: int, side: int = 16) -> Image.Image:
    rng = np.random.default_rng(500 + number)
    return Image.fromarray(rng.integers(0, 256, (side, 24, 3), np.uint8))


#: Reason → what is wrong with the row.
WRONG: dict[str, dict[str, Any]] = {
    "not_an_image": {"image": b"no image at all"},
    "truncated": {"image": encoded(noise(1), "JPEG")[:300]},
    "too_large": {"image": encoded(noise(2, 60), "PNG")},
    "empty_image": {"image": b""},
    "animated": {
        "image": encoded(noise(3), "GIF", save_all=True, append_images=[noise(4)]),
    },
    "missing_file": {"image": None},
    "missing_mask": {"mask": None},
    "mask_unreadable": {"mask": b"no mask"},
    "mask_size": {"mask": png(np.zeros((15, 24), np.uint8))},
    "unknown_class": {"mask": png(np.full((16, 24), 9, np.uint8))},
    "duplicate_id": {"key": "0"},
    "duplicate_content": {"image": image(0)},
    "missing_label": {"label": None},
    "unknown_label": {"label": "triangular"},
}
#: Pictures that are converted, not refused.
FINE = {
    "L": encoded(noise(11).convert("L"), "PNG"),
    "P": encoded(noise(12).convert("P"), "PNG"),
    "CMYK": encoded(noise(13).convert("CMYK"), "JPEG"),
    "RGBA": encoded(noise(14).convert("RGBA"), "PNG"),
    "16 bit": png(np.random.default_rng(15).integers(0, 65535, (16, 24), np.uint16)),
}


def test_every_row_is_accepted_or_has_its_reason(tmp_path, store, taxonomy):
    rows = [
        {"key": str(n), "image": image(n), "mask": mask(n), "label": "round" if n % 2 else "square"}
        for n in range(16)
    ]
    whole = {"image": None, "mask": mask(0), "label": "round"}
    for number, (reason, change) in enumerate(WRONG.items()):
        own = {"key": reason, "image": encoded(noise(20 + number), "PNG")}
        rows.append(whole | own | change)
    rows += [whole | {"key": name, "image": data} for name, data in FINE.items()]
    for number, row in enumerate(rows):
        row |= {"tone": "light" if number % 4 < 2 else "dark", "split": "train"}
    rows.append(rows[0] | {"split": "holdout"})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data.parquet")
    settings = source(
        tmp_path / "data.parquet",
        **{"id": "key", "labels": ["round", "square"], "max_pixels": 1000, "max_refused": 0.5},
    ).settings
    counts = ingest(store, settings, Path("/"), taxonomy, True, silent).summary
    found = {rows[row["row"]]["key"]: row["reason"] for row in quarantined(store)}
    assert found.pop("0") == "duplicate_id"
    assert found == {reason: reason for reason in WRONG if reason != "duplicate_id"}
    assert counts["accepted"] == 16 + len(FINE)
    assert counts["excluded_by_split"] == {"holdout": 1}
    assert counts["read"] == counts["accepted"] + counts["quarantined"] + counts["excluded"]


def test_a_group_far_above_the_limit_is_refused(tmp_path):
    images = [image(n) for n in range(15)] + [bytes((1 << 24) + 9000)]
    pq.write_table(table(image=pa.array(images)), tmp_path / "data.parquet")
    rows = records(tmp_path, max_pixels=1000, split=None)
    assert rows[15].refusal.reason == "too_large"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": "imag"}, r"source\.image: .* no column 'imag'; did you mean 'image'"),
        ({"mask": "masks"}, r"source\.mask: .* did you mean 'mask'"),
        ({"label": "labell"}, r"source\.label: .* did you mean 'label'"),
        ({"attributes": ["tones"]}, r"source\.attributes: .* did you mean 'tone'"),
        ({"split": "part"}, r"source\.split: .* no column 'part'"),
        ({"id": "idd"}, r"source\.id: .* no column 'idd'"),
        ({"classes": None}, r"source\.classes: is missing"),
        ({"classes": "classes.json"}, r"source\.classes: there is no file"),
        ({"classes": {0: "a", 1: "a"}}, "'a' is there twice"),
        ({"classes": {300: "a"}}, "whole number from 0 to 255"),
    ],
)
def test_settings_that_cannot_work_are_refused(file, changes, words):
    with pytest.raises(SourceError, match=words):
        source(file, **changes).check()


def test_a_folder_without_parquet_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no Parquet file"):
        source(tmp_path).check()
    with pytest.raises(SourceError, match="no Parquet file"):
        source(tmp_path / "nowhere.parquet").check()


def test_a_broken_file_is_named(tmp_path):
    pq.write_table(table(), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(SourceError, match=r"b\.parquet is no whole Parquet file"):
        source(tmp_path).check()


# --- state and URLs -----------------------------------------------------------------------------


def test_state_follows_files_and_class_list(tmp_path):
    pq.write_table(table(), tmp_path / "data.parquet")
    before = source(tmp_path).state()
    assert source(tmp_path).state() == before
    os.utime(tmp_path / "data.parquet", ns=(1, 1))
    touched = source(tmp_path).state()
    assert touched != before
    (tmp_path / "classes.json").write_text('{"0": "background"}')
    assert source(tmp_path, classes=None).state() != source(tmp_path).state()


@pytest.mark.parametrize("form", ["text", "view", "dictionary", "struct", "some bytes"])
def test_state_follows_pictures_that_rows_only_name(tmp_path, form):
    for number in range(16):
        (tmp_path / f"{number}.png").write_bytes(image(number))
    names = pa.array([f"{number}.png" for number in range(16)])
    columns = {
        "text": names,
        "view": names.cast(pa.string_view()),
        "dictionary": names.dictionary_encode(),
        "struct": pa.array([{"bytes": None, "path": n} for n in names.to_pylist()], PICTURE),
        "some bytes": pa.array(
            [{"bytes": image(0) if n == "0.png" else None, "path": n} for n in names.to_pylist()],
            PICTURE,
        ),
    }
    pq.write_table(table(image=columns[form]), tmp_path / "a.parquet")
    before = source(tmp_path).state()
    assert source(tmp_path).state() == before
    (tmp_path / "3.png").write_bytes(image(99))
    assert source(tmp_path).state() != before


def test_a_file_of_an_object_store_is_read(tmp_path, file):
    remote = fsspec.filesystem("memory")
    remote.pipe_file("/bucket/data.parquet", file.read_bytes())
    for root in ("memory://bucket/data.parquet", "memory://bucket"):
        rows = records(root)
        assert [row.image for row in rows] == [row.image for row in records(file)]
    before = source("memory://bucket").state()
    remote.pipe_file("/bucket/data.parquet", file.read_bytes())
    assert source("memory://bucket").state() != before
    remote.rm("/bucket", recursive=True)
