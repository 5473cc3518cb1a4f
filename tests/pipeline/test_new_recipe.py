"""Drafting a recipe: what lies there is found, the choice is explained, the recipe loads."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_captioners
import torch
from conftest import png
from PIL import Image
from pydantic import TypeAdapter

from heml.compute.progress import silent
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layout import AnySource, open_source
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from pipelines.cli.app import main
from pipelines.cli.exit_codes import REFUSED
from pipelines.recipe.model import load_recipe


@pytest.fixture
def draft(tmp_path, capsys):
    """Runs the command; gives the recipe, or None, and what was said."""

    def run(given, *options):
        out = tmp_path / "drafted.yaml"
        out.unlink(missing_ok=True)
        status = main(["init", str(given), "--out", str(out), *options])
        said = capsys.readouterr()
        assert status == (0 if out.exists() else REFUSED)
        return load_recipe(out) if out.exists() else None, said.out + said.err

    return run


@pytest.fixture
def faces(dataset):
    """A label in the first column, an attribute that goes with it, and columns that are neither."""
    for number in range(160):
        label = "smile" if number % 2 else "serious"
        dataset.row(
            label="",
            person_id=str(number // 2),
            mouth=label,
            coin=str(number // 2 % 2),
            light=label[:2] if number % 10 else "se",
            age=str(number / 3),
            split="train" if number < 120 else "test",
        )
    for row in dataset.rows:
        del row["label"], row["tone"]
    dataset.write()
    return dataset


def runs(recipe, tmp_path):
    """Ingests and segments; gives the counts."""
    store = Store(tmp_path / "store")
    counts = ingest(store, recipe.source, recipe.folder, recipe.taxonomy, True, silent).summary
    segments = segment(RunContext(store, recipe.taxonomy), recipe.settings.segmentation).summary
    return counts, segments


def test_a_folder_gives_a_recipe_that_runs(draft, faces, tmp_path):
    recipe, said = draft(faces.root)
    assert (recipe.name, recipe.label, recipe.attributes) == ("data", "mouth", ["light"])
    assert "light: goes with the label more than other columns" in said
    assert "person_id" in said
    assert "named like an id" in said
    assert "120 values: bin them" in said
    assert "next: heml run" in said
    assert set(recipe.taxonomy.leaves) == {"background", "shape"}
    assert recipe.taxonomy.ignored == ("void",)
    counts, segments = runs(recipe, tmp_path)
    assert (counts["accepted"], segments["images"]) == (160, 160)


def test_what_is_said_on_the_command_line_wins(draft, faces):
    recipe, said = draft(faces.root, "--label", "coin", "--attribute", "mouth", "--name", "mine")
    assert (recipe.name, recipe.label, recipe.attributes) == ("mine", "coin", ["mouth"])
    assert "coin: from --label" in said
    recipe, said = draft(faces.root, "--label", "coinn")
    assert recipe is None
    assert "did you mean 'coin'" in said
    assert draft(faces.root, "--label", "mouth", "--attribute", "mouth")[0] is None
    assert draft(faces.root, "--attribute", "mouth")[0].label == "coin"


def test_a_table_below_the_root_is_enough(draft, faces):
    (faces.root / "tasks").mkdir()
    faces.write("tasks/biased.csv")
    (faces.root / "metadata.csv").unlink()
    recipe, _ = draft(faces.root / "tasks/biased.csv")
    assert recipe.source.root == str(faces.root)
    assert recipe.source.metadata == "tasks/biased.csv"
    assert recipe.name == "data_biased"


def test_built_in_taxonomy_by_its_classes(draft, faces):
    names = ["background", "hair", "skin", "nose"]
    faces.classes(dict(enumerate(names)))
    recipe, said = draft(faces.root)
    assert recipe.taxonomy.name in ("portraits", "celebamask_hq")
    assert "names all 4 classes" in said


def test_rows_without_masks_raise_the_limit(draft, faces, tmp_path):
    for row in faces.rows[::2]:
        row["mask_name"] = ""
    for row in faces.rows[1::2]:
        row["mouth"] = "smile" if int(row["person_id"]) % 2 else "serious"
    faces.write()
    recipe, said = draft(faces.root, "--label", "mouth", "--attribute", "coin")
    assert "80 name no mask" in said
    assert recipe.source.max_refused == pytest.approx(0.55)


def test_many_labeled_rows_without_a_mask_get_a_trained_segmenter(draft, faces):
    for row in faces.rows[:40]:
        row["mask_name"] = ""
    faces.write()
    recipe, said = draft(faces.root, "--label", "mouth")
    assert recipe.settings.segmentation.kind == "trained"
    assert "learned from the rows that have a mask" in said
    assert recipe.source.max_refused == 0.2


def test_rows_that_lack_label_and_mask_are_no_reason_to_train(draft, faces):
    for row in faces.rows[:40]:
        row["mask_name"] = row["mouth"] = ""
    faces.write()
    recipe, _ = draft(faces.root, "--label", "mouth")
    assert recipe.settings.segmentation.kind == "annotated"
    assert recipe.source.max_refused > 0.25


def test_parquet_with_other_column_names(draft, tmp_path):
    rng = np.random.default_rng(0)
    images = [png(rng.integers(0, 256, (16, 24, 3), np.uint8)) for _ in range(200)]
    ids = np.zeros((16, 24), np.uint8)
    ids[4:8] = 1
    table = {
        "photo": images,
        "seg_mask": [png(ids)] * 200,
        "kind": ["a" if n % 2 else "b" for n in range(200)],
        "camera": ["x" if n % 3 else "y" for n in range(200)],
    }
    (tmp_path / "shards").mkdir()
    pq.write_table(pa.table(table), tmp_path / "shards/part-0.parquet")
    (tmp_path / "shards/classes.json").write_text('{"0": "background", "1": "skin"}')
    for given in ("shards", "shards/part-0.parquet"):
        recipe, _ = draft(tmp_path / given)
        assert (recipe.source.kind, recipe.source.image) == ("parquet", "photo")
        assert recipe.source.mask == "seg_mask"
        assert (recipe.label, recipe.attributes) == ("kind", ["camera"])
        assert runs(recipe, tmp_path)[0]["accepted"] == 200


def test_labels_are_read_off_masks_on_demand(draft, dataset):
    for number in range(40):
        ids = np.full((16, 24), number % 2, np.uint8)
        dataset.row(mask=png(ids), tone=str(number % 4 // 2), label="same", split="train")
    dataset.write()
    recipe, _ = draft(dataset.root, "--label", "has_shape", "--attribute", "tone")
    assert recipe.label == "has_shape"


def test_labels_off_masks_follow_palettes_as_reading_does(draft, dataset):
    dataset.classes({10: "background", 200: "shape"})
    for number in range(40):
        # Indices 0 and 1 are no classes, the grays that they show are.
        mask = Image.fromarray(np.full((16, 24), number % 2, np.uint8))
        mask.putpalette([10, 10, 10, 200, 200, 200])
        buffer = io.BytesIO()
        mask.save(buffer, "PNG")
        tone = str(number % 4 // 2)
        dataset.row(mask=buffer.getvalue(), tone=tone, label="same", split="train")
    dataset.write()
    recipe, said = draft(dataset.root, "--label", "has_shape", "--attribute", "tone")
    assert recipe is not None, said
    assert re.search("no 20, yes 20|yes 20, no 20", said), said


@pytest.fixture
def photos(tmp_path, capsys):
    """Drafts for folders of photos that are named by class; gives the text and what was said."""

    def run(*names):
        for name in names:
            (tmp_path / "set" / name).mkdir(parents=True)
            for number in range(20):
                (tmp_path / "set" / name / f"{number}.png").write_bytes(b"")
        out = tmp_path / "out.yaml"
        assert main(["init", str(tmp_path / "set"), "--out", str(out)]) == 0
        return out, capsys.readouterr().out

    return run


def with_words(path):
    """The recipe with the lines on words in place of those above them, as it says."""
    before, words = path.read_text().split("# segmentation:\n")
    words, after = words.split("\n\n", 1)
    before = before[: before.index("segmentation: {")]
    uncommented = "\n".join(line.removeprefix("# ") for line in words.splitlines())
    path.write_text(f"{before}segmentation:\n{uncommented}\n\n{after}")
    return load_recipe(path)


def test_without_masks_prompts_are_drafted_from_class_folders(photos):
    out, said = photos("cat", "wild_dog", "cat_dog")
    assert "prompt     object: cat, cat dog, wild dog (values of the column label)" in said
    assert "facebook/sam3" in said
    assert load_recipe(out).settings.segmentation.kind == "unsupervised"
    recipe = with_words(out)
    segmentation = recipe.settings.segmentation
    assert segmentation.checkpoint == "CHANGE-ME"
    assert segmentation.prompts == {
        "object": ["cat", "cat dog", "wild dog"],
        "background": "rest",
    }
    assert set(recipe.taxonomy.leaves) == {"object", "background"}


def test_without_masks_prompts_are_drafted_from_columns(draft, faces):
    faces.rows[:] = [
        {**row, "mask_name": "", "hair_tone": row["light"], "background": row["coin"]}
        for row in faces.rows
    ]
    faces.write()
    recipe, said = draft(faces.root)
    assert recipe is not None, said
    assert recipe.settings.segmentation.kind == "unsupervised"
    recipe = with_words(recipe.path)
    # mouth and hair_tone name parts, light and background the whole, coin what may lie there
    prompts = recipe.settings.segmentation.prompts
    assert next(iter(prompts.items())) == ("mouth", "mouth")
    assert prompts["hair"] == "hair"
    assert set(prompts) <= {"mouth", "hair", "coin", "background"}
    assert prompts["background"] == "rest"


def test_a_captioner_adds_words(draft, faces, tmp_path):
    torch.manual_seed(1)
    folder = tmp_path / "blip"
    folder.mkdir()
    tiny_captioners.blip(folder)
    masks = [row["mask_name"] for row in faces.rows]
    recipe, said = draft(faces.root, "--captioner", str(folder))
    assert "captions   none: the masks say what is in the images" in said
    for row in faces.rows:
        row["mask_name"] = ""
    faces.write()
    without, _ = draft(faces.root)
    columns = set(with_words(without.path).settings.segmentation.prompts)
    recipe, said = draft(faces.root, "--captioner", str(folder))
    assert recipe is not None, said
    captioned = re.search(r"captions   (\d+) train images, by blip, licence apache-2.0", said)
    assert 20 <= int(captioned[1]) <= 48 < len(masks)
    assert "CHANGE-ME" in recipe.path.read_text()
    assert recipe.settings.segmentation.kind == "unsupervised"
    prompts = with_words(recipe.path).settings.segmentation.prompts
    added = set(prompts) - columns
    assert added
    assert added <= {*tiny_captioners.WORDS, "object"}
    for leaf in added - {"object"}:
        assert re.search(
            rf"{leaf}: {leaf}   # in \d+ of {captioned[1]} captions", recipe.path.read_text()
        )
    again, _ = draft(faces.root, "--captioner", str(folder))
    assert with_words(again.path).settings.segmentation.prompts == prompts


def test_captioners_that_cannot_be_used_are_refused(draft, faces, tmp_path):
    for row in faces.rows:
        row["mask_name"] = ""
    faces.write()
    recipe, said = draft(faces.root, "--captioner", "./nowhere")
    assert (recipe, "no such folder" in said) == (None, True)
    folder = tmp_path / "silent"
    folder.mkdir()
    tiny_captioners.silent(folder)
    recipe, said = draft(faces.root, "--captioner", str(folder))
    assert (recipe, "no word for a thing is in several of" in said) == (None, True)


def test_without_masks_and_words_object_and_background_are_found(photos):
    out, said = photos("0", "1")
    assert "no column says what is in the images" in said
    assert "unsupervised: object and background from the images alone" in said
    recipe = load_recipe(out)
    assert recipe.settings.segmentation.kind == "unsupervised"
    assert set(recipe.taxonomy.leaves) == {"object", "background"}
    assert "prompted" not in out.read_text()


def test_a_file_is_never_overwritten(faces, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("mine")
    assert main(["init", str(faces.root), "--out", str(tmp_path / "mine.yaml")]) == REFUSED
    assert "already exists" in capsys.readouterr().err
    assert (tmp_path / "mine.yaml").read_text() == "mine"


def test_who_stops_reading_gets_the_recipe_all_the_same(faces, tmp_path):
    out = tmp_path / "drafted.yaml"
    command = [sys.executable, "-m", "pipelines.cli", "init", str(faces.root), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")
    assert load_recipe(out).label == "mouth"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nowhere/at/all", "no file or folder"),
        ("empty", "there is nothing in"),
        ("texts", "no metadata table, no Parquet files and no images"),
        ("notes.txt", "a file must be .csv, .tsv, .jsonl, .parquet"),
        ("bare.csv", "no column names the images"),
        ("lost.csv", "no folder above it holds 'nowhere.png'"),
    ],
)
def test_what_holds_no_images_is_refused(draft, tmp_path, given, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("a")
    (tmp_path / "notes.txt").write_text("a")
    (tmp_path / "bare.csv").write_text("a,b\n1,2\n")
    (tmp_path / "lost.csv").write_text("file_name,b\nnowhere.png,2\n")
    recipe, said = draft(tmp_path / given)
    assert recipe is None
    assert words in said


def test_labels_that_yaml_would_read_as_something_else_are_quoted(draft, faces):
    for row in faces.rows:
        row["yes"] = row.pop("mouth")
        row["a: b #c"] = row.pop("light")
    faces.write()
    recipe, _ = draft(faces.root, "--label", "yes", "--attribute", "a: b #c")
    assert (recipe.label, recipe.attributes) == ("yes", ["a: b #c"])


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x85"])
def test_values_cannot_set_keys_of_the_recipe(draft, faces, end):
    for row in faces.rows:
        row["mouth"] += f"{end}  max_refused: 1.0{end}  #"
        row["light"] += f"{end}name: other{end}#"
    faces.write()
    recipe, said = draft(faces.root)
    assert recipe.source.max_refused == 0.2
    assert (recipe.source.label, recipe.source.attributes) == ("mouth", ["light"])
    assert not [line for line in said.splitlines() if line.startswith(("name:", "  max_refused"))]


@pytest.mark.parametrize("name", [".5", "...", ".inf", "no", "1", "a: b", "#x", "é"])
def test_column_names_stay_text(draft, faces, name):
    for row in faces.rows:
        row[name] = row.pop("mouth")
    faces.write()
    recipe, _ = draft(faces.root, "--label", name)
    assert recipe.source.label == name


def test_an_ascii_terminal_gets_the_recipe_all_the_same(faces, tmp_path):
    for row in faces.rows:
        row["mouth"] = "fröhlich 😀" if row["mouth"] == "smile" else "ernst"
    faces.write()
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    out = tmp_path / "ascii.yaml"
    command = [sys.executable, "-m", "pipelines.cli", "init", str(faces.root), "--out", str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "😀" in out.read_text("utf-8")


def test_wrong_paths_are_not_a_dataset_without_masks(draft, faces):
    for row in faces.rows:
        row["file_name"] = row["file_name"].replace("/", "\\")
    faces.write()
    recipe, said = draft(faces.root)
    assert recipe is None
    assert "none of the first 20 images can be read" in said
    assert "write / between folders" in said


def test_a_folder_of_save_to_disk_is_read(draft, tmp_path):
    from datasets import Dataset, Features, Image, Value

    content = {
        "image": [{"bytes": png(np.full((8, 8, 3), n, np.uint8)), "path": None} for n in range(40)],
        "label": ["cat" if n % 2 else "dog" for n in range(40)],
    }
    features = Features({"image": Image(), "label": Value("string")})
    Dataset.from_dict(content, features).save_to_disk(tmp_path / "saved")
    status = main(["init", str(tmp_path / "saved"), "--out", str(tmp_path / "saved.yaml")])
    assert status == 0
    assert "kind: huggingface" in (tmp_path / "saved.yaml").read_text()
    content = {"kind": "huggingface", "dataset": str(tmp_path / "saved"), "label": "label"}
    reader = open_source(TypeAdapter(AnySource).validate_python(content), tmp_path)
    before = reader.state()
    os.utime(next((tmp_path / "saved").glob("*.arrow")), (0, 0))
    assert reader.state() != before
    assert list(reader.skipped()) == []


def test_columns_of_lists_are_told_to_be_written_row_by_row(draft, tmp_path):
    pictures = [[png(np.full((8, 8, 3), n, np.uint8))] for n in range(4)]
    pq.write_table(pa.table({"image": pictures, "label": ["a", "b"] * 2}), tmp_path / "a.parquet")
    assert "'image' holds lists: write one image per row" in draft(tmp_path / "a.parquet")[1]


def test_skipped_files_are_named(tmp_path, capsys):
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(20):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
            (tmp_path / f"pets/{label}/{number}.png").write_bytes(png(pixels))
    (tmp_path / "pets/birds").symlink_to(tmp_path / "pets/cat")
    assert main(["init", str(tmp_path / "pets"), "--out", str(tmp_path / "pets.yaml")]) == 0
    assert "skipped: birds: a link to a folder" in capsys.readouterr().out


def test_numbered_splits_are_named(draft, faces):
    for number, row in enumerate(faces.rows):
        row["split"] = "0012"[number % 4]
    faces.write()
    recipe, said = draft(faces.root)
    assert recipe.source.splits == {"0": "train", "1": "validation", "2": "test"}
    assert "0 is train, 1 is validation, 2 is test" in said


def test_splits_that_are_none_are_told_what_to_write(draft, faces):
    for row in faces.rows:
        row["split"] = "fold A"
    faces.write()
    assert "found 'fold A'): write train, validation or test there" in draft(faces.root)[1]


def test_help_names_the_forms(capsys):
    assert main(["init", "--help"]) == 0
    assert "Hugging Face Hub" in capsys.readouterr().out


def test_json_lines_and_quotes(draft, faces):
    with (faces.root / "metadata.csv").open() as file:
        lines = [json.dumps(row) for row in csv.DictReader(file)]
    (faces.root / "metadata.csv").unlink()
    Path(faces.root / "metadata.jsonl").write_text("\n".join(lines))
    assert draft(faces.root)[0].label == "mouth"


def test_schema_lies_beside_the_recipe_that_names_it(faces, draft, tmp_path):
    draft(faces.root)
    first = (tmp_path / "drafted.yaml").read_text().splitlines()[0]
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads((tmp_path / name).read_text())["title"] == "HEML recipe"
