"""Folders in the imagefolder layout: other tables than CSV, tables by split, folders by class."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heml.sources.folder import FolderReader
from heml.sources.layouts.folder import FolderSource as Settings
from heml.sources.raw import SourceError


def source(root: Path, **changes) -> FolderReader:
    content = {"kind": "folder", "root": str(root), "label": "label"}
    return FolderReader(Settings.model_validate(content | changes), Path("/"))


def pictures(folder: Path, count: int = 4) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(str(folder / str(number)).encode())


@pytest.fixture
def rows() -> list[dict[str, object]]:
    return [
        {
            "file_name": f"{n}.png",
            "label": "cat" if n % 2 else "dog",
            "age": None if n == 3 else 1.5 * n,
            "tame": n > 1,
        }
        for n in range(4)
    ]


TEXTS = [
    {"label": "dog", "age": "0.0", "tame": "false"},
    {"label": "cat", "age": "1.5", "tame": "false"},
    {"label": "dog", "age": "3.0", "tame": "true"},
    {"label": "cat", "age": None, "tame": "true"},
]


def test_json_lines_are_read(tmp_path, rows):
    pictures(tmp_path / "set")
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "set/metadata.jsonl").write_text("\n".join(lines) + "\n\n")
    records = list(source(tmp_path / "set").records())
    assert [record.columns for record in records] == TEXTS
    assert records[2].image == str(tmp_path / "set/2").encode()


def test_parquet_metadata_is_read(tmp_path, rows):
    pictures(tmp_path / "set")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set/metadata.parquet")
    records = list(source(tmp_path / "set").records())
    assert [record.columns for record in records] == TEXTS


def test_lines_that_are_no_json_are_refused_alone(tmp_path, rows):
    pictures(tmp_path / "set")
    lines = [json.dumps(rows[0]), "{broken", "[1]", json.dumps(rows[1])]
    (tmp_path / "set/metadata.jsonl").write_text("\n".join(lines))
    records = list(source(tmp_path / "set").records())
    assert [r.refusal.reason if r.refusal else None for r in records] == [
        *(None, "malformed_row", "malformed_row", None)
    ]
    assert "line 2" in records[1].refusal.detail


def test_a_table_in_each_split_names_files_beside_itself(tmp_path):
    for split in ("train", "valid", "test"):
        pictures(tmp_path / "set" / split)
        lines = ["file_name,label", "0.png,cat", "1.png,dog", "../0.png,cat", "../../x.png,dog"]
        (tmp_path / "set" / split / "metadata.csv").write_text("\n".join(lines))
    reader = source(tmp_path / "set")
    reader.check(annotated=False)
    records = list(reader.records())
    assert [r.split for r in records] == ["test"] * 4 + ["train"] * 4 + ["validation"] * 4
    assert records[4].image_id == "train/0"
    assert records[4].image == str(tmp_path / "set/train/0").encode()
    assert [r.refusal.reason for r in records[4:8] if r.refusal] == ["missing_file", "unsafe_path"]


def test_masks_may_have_the_other_name(tmp_path, dataset):
    dataset.good(8)
    for row in dataset.rows:
        row["mask_file_name"] = row.pop("mask_name")
    dataset.write()
    settings = dataset.settings()
    assert next(FolderReader(settings, Path("/")).records()).mask is not None
    for row in dataset.rows:
        row["parts"] = row.pop("mask_file_name")
    dataset.write()
    reader = FolderReader(dataset.settings(mask="parts"), Path("/"))
    reader.check()
    assert next(reader.records()).mask is not None
    assert "parts" not in reader.columns()
    with pytest.raises(SourceError, match=r"source\.mask: .* no column 'masks'"):
        FolderReader(dataset.settings(mask="masks"), Path("/")).check()


def test_folders_name_the_classes(tmp_path):
    for name in ("cat", "dog"):
        pictures(tmp_path / "set" / name, 20)
    (tmp_path / "set/cat/notes.txt").write_text("no picture")
    (tmp_path / "set/stray.png").write_bytes(b"stray")
    reader = source(tmp_path / "set")
    reader.check(annotated=False)
    records = list(reader.records())
    assert len(records) == 41
    assert [records[n].columns["label"] for n in (0, 1, 21)] == [None, "cat", "dog"]
    assert records[1].image_id == "cat/0"
    assert {r.split for r in records} == {"train", "validation", "test"}


def test_folders_name_splits_and_classes(tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            pictures(tmp_path / "set" / split / name, 2)
    reader = source(tmp_path / "set")
    reader.check(annotated=False)
    found = [(r.split, r.columns["label"], r.image_id) for r in reader.records()]
    assert found[0] == ("test", "cat", "test/cat/0")
    assert found[-1] == ("train", "dog", "train/dog/1")


def test_folders_of_images_and_masks_are_no_classes(tmp_path):
    pictures(tmp_path / "set/images")
    pictures(tmp_path / "set/masks")
    with pytest.raises(SourceError, match=r"no file .*metadata\.csv; write a CSV"):
        source(tmp_path / "set").check(annotated=False)


def test_class_folders_have_no_masks(tmp_path):
    for name in ("cat", "dog"):
        pictures(tmp_path / "set" / name, 20)
    (tmp_path / "set/classes.json").write_text('{"0": "background"}')
    with pytest.raises(SourceError, match="no column 'mask_name'"):
        source(tmp_path / "set").check()


def test_declared_labels_must_leave_two(tmp_path):
    for name in ("cat", "dog"):
        pictures(tmp_path / "set" / name, 20)
    with pytest.raises(SourceError, match="label column 'label' has only 'cat'"):
        source(tmp_path / "set", labels=["cat", "bird"]).check(annotated=False)
