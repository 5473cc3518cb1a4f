"""The folder source: what it reads, and what it says when it cannot."""

import json
import os
import unicodedata
from pathlib import Path

import pytest

from heml.sources.folder import FolderReader
from heml.sources.raw import RawRecord, SourceError
from heml.sources.splits import drawn_split


def source(dataset, base=Path("/"), **changes):
    return FolderReader(dataset.settings(**changes), base)


def records(dataset, **changes) -> list[RawRecord]:
    dataset.write()
    return list(source(dataset, **changes).records())


def refusal_of(dataset, file_name: str, **fields) -> str:
    """Reason for which the last row is refused."""
    dataset.row(file_name=file_name, **fields)
    refusal = records(dataset)[-1].refusal
    assert refusal is not None
    return refusal.reason


def test_rows_come_with_their_files_and_columns(dataset):
    dataset.good(2)
    first, second = records(dataset)
    assert first.image == (dataset.root / "images/0000.png").read_bytes()
    assert first.mask == (dataset.root / "masks/0000.png").read_bytes()
    assert (first.row, first.image_id, first.split) == (0, "images/0000", "train")
    assert first.columns == {"split": "train", "label": "square", "tone": "light"}
    assert second.image_id == "images/0001"


def test_columns_leave_out_the_file_names(dataset):
    dataset.good(1)
    dataset.write()
    assert source(dataset).columns() == ["split", "label", "tone"]
    assert source(dataset).classes() == {0: "background", 1: "shape", 2: "void"}


def test_byte_order_mark_blank_lines_and_quotes_are_read(dataset):
    dataset.put("images/a, b.png", b"x")
    text = 'file_name,mask_name,split,label,tone\n\n"images/a, b.png",,train,"say ""round""",\n\n'
    (dataset.root / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (record,) = source(dataset).records()
    assert record.image == b"x"
    assert record.mask is None
    assert record.columns == {"split": "train", "label": 'say "round"', "tone": None}


def test_spaces_around_names_and_values_are_no_part_of_them(dataset):
    dataset.good(1)
    dataset.write()
    text = "file_name, mask_name , split, label,tone\n"
    text += "images/0000.png, masks/0000.png, train , square, light \n"
    (dataset.root / "metadata.csv").write_text(text)
    (record,) = source(dataset).records()
    assert record.columns == {"split": "train", "label": "square", "tone": "light"}
    assert record.mask is not None


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "N/A", "null", "NULL", "<NA>", " ", ""])
def test_words_for_missing_values_are_no_values(dataset, word):
    dataset.row(tone=word)
    dataset.row(tone="None")
    first, second = records(dataset)
    assert first.columns["tone"] is None
    assert second.columns["tone"] == "None"  # a value: without glasses


@pytest.mark.parametrize("line", ["images/0000.png,masks/0000.png", "a,b,c,d,e,f"])
def test_a_ragged_row_is_refused_alone(dataset, line):
    dataset.good(2)
    dataset.write()
    with (dataset.root / "metadata.csv").open("a") as file:
        file.write(line + "\n")
    *others, ragged = source(dataset).records()
    assert ragged.refusal.reason == "malformed_row"
    assert "fields" in ragged.refusal.detail
    assert all(record.refusal is None for record in others)


# --- image ids ----------------------------------------------------------------------------------


def test_same_stem_in_two_folders_and_with_two_suffixes_gives_distinct_ids(dataset):
    for name in ("a/1.png", "b/1.png", "b/1.jpg", "b/1", "2.tar.png"):
        dataset.row(image=name.encode(), file_name=name)
    ids = [record.image_id for record in records(dataset)]
    assert ids == ["a/1", "b/1.png", "b/1.jpg", "b/1", "2.tar"]


def test_spellings_of_one_file_give_one_id(dataset):
    dataset.good(1)
    for name in ("./images/0000.png", "images//0000.png", "images/../images/0000.png"):
        dataset.row(file_name=name)
    assert {record.image_id for record in records(dataset)} == {"images/0000"}


def test_an_excluded_row_does_not_change_another_rows_id(dataset):
    dataset.row(image=b"1", file_name="1.png", split="train")
    dataset.row(image=b"2", file_name="1.jpg", split="oracle")
    assert records(dataset)[0].image_id == "1"


# --- splits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["oracle", ""])
def test_rows_of_other_splits_are_not_read(dataset, split):
    dataset.row(file_name="images/nowhere.png", split=split)
    (record,) = records(dataset)
    assert record.split == (split or None)
    assert record.image is record.mask is record.refusal is None


def test_other_words_for_splits_are_understood_and_more_can_be_named(dataset):
    for word in ("val", "Training", "dev", "holdout", "oracle"):
        dataset.row(split=word)
    found = [r.split for r in records(dataset, splits={"holdout": "test", "dev": "test"})]
    assert found == ["validation", "train", "test", "test", "oracle"]


def without_split(dataset) -> None:
    for row in dataset.rows:
        del row["split"]


def test_split_is_drawn_where_the_table_has_none(dataset):
    dataset.good(40)
    without_split(dataset)
    splits = {record.image_id: record.split for record in records(dataset)}
    assert splits == {image_id: drawn_split(image_id) for image_id in splits}
    dataset.rows.reverse()
    assert {record.image_id: record.split for record in records(dataset)} == splits


def test_split_null_draws_although_there_is_a_column(dataset):
    dataset.good(40)
    assert [r.split for r in records(dataset, split=None)] == [
        drawn_split(f"images/{n:04d}") for n in range(40)
    ]


def class_folders(dataset, *names) -> FolderReader:
    for name in names:
        dataset.put(name, b"x")
    return source(dataset, attributes=[])


def described(reader) -> list[tuple[str, str | None, str | None]]:
    return [(r.file_name, r.split, r.columns["label"]) for r in reader.rows()]


@pytest.mark.parametrize("folder", ["train", "test", "test_tube", "dev board", "evaluation"])
def test_a_class_may_be_called_like_a_split(dataset, folder):
    reader = class_folders(dataset, "bus/1.png", f"{folder}/2.png", "car/3.png")
    assert {label for _, _, label in described(reader)} == {"bus", "car", folder}
    assert "drawn" in reader.splits_come_from()
    assert {split for _, split, _ in described(reader)} <= {"train", "validation", "test"}


@pytest.mark.parametrize(
    "form",
    ["{split}/{label}/1.png", "{label}/{split}/1.png", "images/{split}/{label}/1.png",
     "data/{split}_images/{label}/1.png", "{split}2017/{label}/1.png"],
)  # fmt: skip
def test_folders_of_splits_are_found_at_any_depth(dataset, form):
    names = {
        form.format(split=split, label=label): (split, label)
        for split in ("train", "test")
        for label in ("bus", "car")
    }
    reader = class_folders(dataset, *names)
    assert {(split, label) for _, split, label in described(reader)} == {*names.values()}
    assert reader.splits_come_from() == "from the folders"


def test_files_that_are_no_rows_are_named(dataset):
    reader = class_folders(dataset, "a/1.jfif", "a/2.JPE", "b/3.png", "b/notes.txt")
    (dataset.root / "c").symlink_to(dataset.root / "a")
    assert [r.file_name for r in reader.rows()] == ["a/1.jfif", "a/2.JPE", "b/3.png"]
    assert [name for name, _ in reader.skipped()] == ["c", "classes.json", "b/notes.txt"]
    assert dict(reader.skipped())["c"] == "a link to a folder: put the folder itself there"


def test_images_that_no_row_names_are_told(dataset):
    dataset.good(2)
    dataset.rows[1]["file_name"] = "images/../images/0001.png"
    dataset.write()
    dataset.put("images/extra/9.JPG", b"x")
    assert list(source(dataset).skipped()) == [("images/extra/9.JPG", "an image that no row names")]


def test_a_name_that_is_not_utf8_is_refused(dataset):
    reader = class_folders(dataset, "a/1.png", "b/2.png")
    (dataset.root / "b" / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    *_, last = reader.records()
    assert last.file_name == "b/\\xff.png"
    assert last.refusal is not None
    assert last.refusal.reason == "unreadable_file"


@pytest.mark.timeout(20)
def test_a_pipe_never_blocks(dataset):
    dataset.good(16)
    dataset.row(file_name="images/pipe.png")
    dataset.write()
    os.mkfifo(dataset.root / "images/pipe.png")
    *_, last = source(dataset).records()
    assert last.refusal is not None
    assert last.refusal.reason == "missing_file"
    os.mkfifo(dataset.root / "table.csv")
    with pytest.raises(SourceError):
        source(dataset, metadata="table.csv").check()
    with pytest.raises(SourceError, match="no regular file"):
        source(dataset).files.open("table.csv")


def test_drawn_split_has_the_promised_shares():
    splits = [drawn_split(f"images/{number}") for number in range(5000)]
    shares = {split: splits.count(split) / 5000 for split in set(splits)}
    assert shares == {
        "train": pytest.approx(0.7, abs=0.03),
        "validation": pytest.approx(0.1, abs=0.03),
        "test": pytest.approx(0.2, abs=0.03),
    }


def test_a_split_column_that_is_named_must_exist(dataset):
    dataset.good()
    without_split(dataset)
    dataset.write()
    source(dataset).check()
    with pytest.raises(SourceError, match=r"source\.split: .* no column 'split'"):
        source(dataset, split="split").check()
    with pytest.raises(SourceError, match="no column 'part'"):
        source(dataset, split="part").check()


# --- paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "/etc/passwd", "images/../../secret.png", "C:\\secret.png", "..", "a\0b"],
)
def test_paths_out_of_the_root_are_refused(dataset, name):
    dataset.put("../secret.png", b"secret")
    assert refusal_of(dataset, name) == "unsafe_path"


def test_mask_paths_out_of_the_root_are_refused(dataset):
    dataset.good(1)
    assert refusal_of(dataset, "images/0000.png", mask_name="../mask.png") == "unsafe_path"


def test_links_out_of_the_root_are_refused(dataset):
    dataset.put("../outside/secret.png", b"secret")
    (dataset.root / "link.png").symlink_to(dataset.root.parent / "outside" / "secret.png")
    (dataset.root / "folder").symlink_to(dataset.root.parent / "outside")
    assert refusal_of(dataset, "link.png") == "unsafe_path"
    assert refusal_of(dataset, "folder/secret.png") == "unsafe_path"


def test_links_within_the_root_are_followed(dataset):
    dataset.good(1)
    (dataset.root / "link.png").symlink_to("images/0000.png")
    dataset.row(file_name="link.png")
    assert records(dataset)[-1].image == (dataset.root / "images/0000.png").read_bytes()


def test_a_folder_whose_name_continues_the_roots_is_outside(dataset):
    dataset.put("../data_secret/a.png", b"secret")
    (dataset.root / "link.png").symlink_to(dataset.root.parent / "data_secret/a.png")
    assert refusal_of(dataset, "../data_secret/a.png") == "unsafe_path"
    assert refusal_of(dataset, "link.png") == "unsafe_path"


@pytest.mark.parametrize("name", ["images/nowhere.png", "images", "", "  ", "x" * 5000])
def test_names_without_a_file_are_refused(dataset, name):
    assert refusal_of(dataset, name) == "missing_file"


def test_a_backslash_name_is_told_what_to_write(dataset):
    dataset.row(file_name="images\\0000.png")
    assert "write /" in records(dataset)[-1].refusal.detail


def test_a_name_with_another_ending_is_told_which_is_there(dataset):
    dataset.put("images/a.png", b"x")
    dataset.row(file_name="images/a.jpg")
    detail = records(dataset)[-1].refusal.detail
    assert detail == "there is no file 'images/a.jpg'; there is 'images/a.png'"


def test_a_named_mask_must_exist(dataset):
    dataset.good(1)
    assert refusal_of(dataset, "images/0000.png", mask_name="masks/no.png") == "missing_mask"


def test_a_file_far_above_the_limit_is_not_even_read(dataset):
    with (dataset.root / "huge.png").open("wb") as file:
        file.truncate(1 << 30)
    dataset.row(file_name="huge.png")
    dataset.write()
    (record,) = source(dataset, max_pixels=1000).records()
    assert record.refusal.reason == "too_large"


# --- checks -------------------------------------------------------------------------------------


def test_a_whole_dataset_passes(dataset):
    dataset.good()
    dataset.write()
    source(dataset).check()


def test_a_relative_root_starts_from_the_base(dataset):
    dataset.good()
    dataset.write()
    source(dataset, base=dataset.root.parent, root="data").check()


def test_variables_in_the_root_are_expanded(dataset, monkeypatch):
    dataset.good()
    dataset.write()
    monkeypatch.setenv("HEML_TEST_DATA", str(dataset.root.parent))
    source(dataset, root="$HEML_TEST_DATA/data").check()
    source(dataset, root="${HEML_TEST_DATA}/data").check()
    monkeypatch.setenv("HOME", str(dataset.root.parent))
    source(dataset, root="~/data").check()


@pytest.mark.parametrize("root", ["$HEML_TEST_UNSET/data", "${HEML_TEST_UNSET}/data"])
def test_an_unset_variable_is_named(dataset, monkeypatch, root):
    monkeypatch.delenv("HEML_TEST_UNSET", raising=False)
    with pytest.raises(SourceError, match="HEML_TEST_UNSET, which is not set"):
        source(dataset, root=root)


def refused(dataset, **changes) -> str:
    """What `check` says."""
    with pytest.raises(SourceError) as error:
        source(dataset, **changes).check()
    return str(error.value)


def test_missing_files_are_named_with_a_hint(dataset):
    dataset.good()
    dataset.write()
    assert "no folder /nowhere" in refused(dataset, root="/nowhere")
    message = refused(dataset, metadata="meta.csv")
    assert str(dataset.root / "meta.csv") in message
    assert "did you mean 'metadata.csv'?" in message
    (dataset.root / "classes.json").unlink()
    assert str(dataset.root / "classes.json") in refused(dataset)
    source(dataset).check(annotated=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "must be an object"),
        ("{}", "must be an object"),
        ('{"skin": 1}', "class id 'skin'"),
        ('{"-1": "skin"}', "class id '-1'"),
        ('{"256": "skin"}', "class id '256'"),
        ('{"0": 1}', "must be text"),
        ('{"0": ""}', "must be text"),
        ('{"0": "skin", "1": "skin"}', "twice"),
        ('{"0": "skin", "00": "hair"}', "twice"),
    ],
)
def test_malformed_class_lists_are_refused(dataset, content, words):
    dataset.good()
    dataset.write()
    (dataset.root / "classes.json").write_text(content)
    message = refused(dataset)
    assert words in message
    assert str(dataset.root / "classes.json") in message


def test_missing_columns_are_named_with_the_nearest(dataset):
    dataset.good()
    dataset.write()
    message = refused(dataset, label="labell")
    assert "source.label" in message
    assert "no column 'labell'; did you mean 'label'?" in message
    message = refused(dataset, attributes=["tones"])
    assert "source.attributes" in message
    assert "did you mean 'tone'?" in message


def test_attribute_must_be_another_column(dataset):
    dataset.good()
    dataset.write()
    assert "HEML's own" in refused(dataset, attributes=["label"])
    assert "twice" in refused(dataset, attributes=["tone", "tone"])
    assert "is the label" in refused(dataset, label="tone")


@pytest.mark.parametrize("column", ["file_name", "mask_name"])
def test_file_columns_must_be_there(dataset, column):
    dataset.good()
    for row in dataset.rows:
        del row[column]
    dataset.write()
    assert f"no column '{column}'" in refused(dataset)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b"file_name,,label\n", "column 2 has no name"),
        (b"file_name,label,label\n", "'label' is there twice"),
        (b"\xff\xfefile_name", "UTF-8"),
        (b'file_name,mask_name,split,label,tone\n"a', "is not a CSV"),
        (b"name;mask_name;label\n", "no column 'file_name'"),
        (b"a;file_name|b\n", "semicolons or bars may stand between the fields"),
        (
            "file_name,mask_name,label\na.png,,müde".encode("cp1252"),
            "'…a.png,,müde…' if it is cp1252",
        ),
        ("file_name,label\n".encode("utf-16-le"), "set source.encoding: utf-16-le"),
    ],
)
def test_tables_that_are_none_are_refused(dataset, text, words):
    (dataset.root / "metadata.csv").write_bytes(text)
    assert words in refused(dataset)


@pytest.mark.parametrize(
    ("encoding", "delimiter", "words"),
    [
        ("utf-8", ";", "semicolons between the fields"),
        ("utf-8", "\t", "tabs between the fields"),
        ("utf-16", "\t", "UTF-16, tabs between the fields"),
        ("utf-16-be", ",", "UTF-16"),
        ("utf-8", ",", None),
    ],
)
def test_tables_are_read_as_they_say_and_it_is_told(dataset, encoding, delimiter, words):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    lines = [("file_name", "mask_name", "split", "label", "tone, of hair")]
    lines.append(("images/a.png", "", "train", "fröhlich", "1,5"))
    dataset.put("images/a.png", b"x")
    # A comma in a value needs quotes where commas stand between the fields.
    rows = [delimiter.join(f'"{v}"' if delimiter in v else v for v in line) for line in lines]
    dataset.put("metadata.csv", (mark + "\n".join(rows)).encode(encoding))
    reader = source(dataset)
    (record,) = reader.records()
    assert record.columns == {"split": "train", "label": "fröhlich", "tone, of hair": "1,5"}
    assert reader.read_as() == ({"metadata.csv": words} if words else {})


def test_an_encoding_that_the_recipe_names_is_used(dataset):
    dataset.row(label="fröhlich")
    dataset.write()
    path = dataset.root / "metadata.csv"
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))
    (record,) = source(dataset, encoding="cp1252").records()
    assert record.columns["label"] == "fröhlich"
    with pytest.raises(ValueError, match="'cp1253x' is no encoding"):
        dataset.settings(encoding="cp1253x")


def test_a_field_may_be_as_long_as_a_mask(dataset):
    dataset.row(EncodedPixels="1 2 " * 40_000)
    (record,) = records(dataset)
    assert record.columns["EncodedPixels"] == ("1 2 " * 40_000).strip()


@pytest.mark.parametrize(("disk", "table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_are_the_same_in_both_forms_of_unicode(dataset, disk, table):
    on_disk, said = (unicodedata.normalize(form, "images/café.png") for form in (disk, table))
    assert on_disk != said
    dataset.put(on_disk, b"x")
    dataset.row(file_name=said)
    (record,) = records(dataset)
    assert (record.image, record.file_name) == (b"x", said)
    before = source(dataset).state()
    assert list(source(dataset).skipped()) == []
    dataset.put(on_disk, b"another content")
    assert source(dataset).state() != before


def test_whole_numbers_are_one_value_however_they_are_written(dataset):
    # A column of whole numbers with a gap is written with decimals.
    for label, tone, other in (("0", "1.50", "2.0"), ("0.0", "1.5", "2"), ("1.0", "-1.0", "3.0")):
        dataset.row(label=label, tone=tone, other=other)
    found = records(dataset, labels=["0", "1.0"])
    assert [record.columns["label"] for record in found] == ["0", "0", "1"]
    assert [record.columns["tone"] for record in found] == ["1.50", "1.5", "-1"]
    # Other columns stay as they are.
    assert [record.columns["other"] for record in found] == ["2.0", "2", "3.0"]
    assert source(dataset, labels=["0", "1.0"]).labels == ["0", "1"]


def test_a_quote_that_is_not_closed_does_not_read_on_without_end(dataset, monkeypatch):
    monkeypatch.setattr("heml.sources.text_form.MOST_FIELD", 1000)
    dataset.good()
    dataset.write()
    with (dataset.root / "metadata.csv").open("a") as file:
        file.write('"' + "x" * 2000)
    assert "a quote is not closed" in refused(dataset)


def test_label_and_attribute_need_two_values(dataset):
    dataset.good()
    for row in dataset.rows:
        row["label"] = "round"
    dataset.write()
    message = refused(dataset)
    assert "needs at least two label values" in message
    assert "only 'round'" in message


def test_the_attribute_needs_two_values_in_the_train_split(dataset):
    dataset.good()
    for row in dataset.rows:
        if row["split"] == "train":
            row["tone"] = "light"
    dataset.write()
    assert "attribute column 'tone' has only 'light' in the train split" in refused(dataset)


def test_train_rows_are_needed(dataset):
    dataset.good()
    for row in dataset.rows:
        row["split"] = "oracle"
    dataset.write()
    message = refused(dataset)
    assert "no row has the split 'train'" in message
    assert "'oracle'" in message


# --- state --------------------------------------------------------------------------------------


def test_state_follows_every_file_that_is_used_and_no_other(dataset):
    dataset.good(2)
    dataset.row(split="oracle")
    dataset.write()
    states = [json.dumps(source(dataset).state())]

    def changed() -> bool:
        states.append(json.dumps(source(dataset).state()))
        return states[-1] != states[-2]

    assert not changed()
    dataset.put("images/0002.png", b"excluded")
    assert not changed()
    dataset.put("images/0001.png", b"image")
    assert changed()
    dataset.put("masks/0001.png", b"mask")
    assert changed()
    dataset.classes({0: "other"})
    assert changed()
    dataset.rows[0]["label"] = "other"
    dataset.write()
    assert changed()
