"""Datasets of the `datasets` library in local folders: streamed, checked, and never run."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import png

from heml.compute.progress import silent
from heml.sources.huggingface import HuggingFaceReader, located
from heml.sources.ingest import ingest, quarantined
from heml.sources.layouts.huggingface import HuggingFaceSource as Settings
from heml.sources.raw import SourceError


def image(number: int) -> bytes:
    return png(np.random.default_rng(number).integers(0, 256, (16, 24, 3), np.uint8))


def ids(number: int) -> bytes:
    pixels = np.zeros((16, 24), np.uint8)
    pixels[2 : 6 + number % 8, 3:9] = 1
    return png(pixels)


def source(root: Path | str, base: Path = Path("/"), **changes) -> HuggingFaceReader:
    content = {
        "kind": "huggingface",
        "dataset": str(root),
        "label": "label",
        "attributes": ["tone"],
    }
    content |= {"classes": {0: "background", 1: "shape"}}
    return HuggingFaceReader(Settings.model_validate(content | changes), base)


@pytest.fixture
def hub(tmp_path) -> Path:
    """A folder as `Dataset.push_to_hub` lays it out: two splits, class labels, masks."""
    from datasets import ClassLabel, Dataset, Features, Image, Value

    features = Features(
        {
            "image": Image(),
            "mask": Image(),
            "label": ClassLabel(names=["cat", "dog"]),
            "tone": Value("string"),
        }
    )
    (tmp_path / "hub/data").mkdir(parents=True)
    for first, name in ((0, "train"), (50, "validation")):
        numbers = range(first, first + 8)
        content = {
            "image": [{"bytes": image(n), "path": f"{n}.png"} for n in numbers],
            "mask": [{"bytes": ids(n), "path": None} for n in numbers],
            "label": [n % 2 for n in numbers],
            "tone": ["light" if n % 4 < 2 else "dark" for n in numbers],
        }
        path = tmp_path / f"hub/data/{name}-00000-of-00001.parquet"
        Dataset.from_dict(content, features).to_parquet(path)
    return tmp_path / "hub"


def test_class_labels_splits_and_pictures(hub):
    reader = source(hub, splits={"validation": "test"})
    reader.check()
    rows = list(reader.records())
    assert [row.split for row in rows] == ["train"] * 8 + ["test"] * 8
    assert rows[9].image == image(51)
    assert rows[9].mask == ids(51)
    assert rows[9].columns == {"label": "dog", "tone": "dark"}
    assert (rows[9].row, rows[9].image_id, rows[9].file_name) == (9, "validation-000001", "51.png")


def test_a_relative_folder_starts_from_the_recipe(hub):
    assert source("./hub", base=hub.parent).columns() == ["label", "tone"]
    assert source("hub", base=hub.parent).columns() == ["label", "tone"]


def test_one_split_alone_is_divided(hub):
    (hub / "data/validation-00000-of-00001.parquet").unlink()
    splits = {row.split for row in source(hub).records()}
    assert "train" in splits
    assert splits <= {"train", "validation", "test"}
    assert len(splits) > 1


def test_an_image_folder_is_read_file_by_file(tmp_path, store, taxonomy):
    for split in ("train", "test"):
        lines = ["file_name,mask_file_name,label,tone"]
        (tmp_path / f"set/{split}").mkdir(parents=True)
        for n in range(8):
            number = n + 50 * (split == "test")
            (tmp_path / f"set/{split}/{n}.png").write_bytes(image(number))
            (tmp_path / f"set/{split}/{n}_mask.png").write_bytes(ids(number))
            lines.append(f"{n}.png,{n}_mask.png,{'cat' if n % 2 else 'dog'},{n // 4}")
        (tmp_path / f"set/{split}/metadata.csv").write_text("\n".join(lines))
    reader = source(tmp_path / "set")
    counts = ingest(store, reader.settings, Path("/"), taxonomy, True, silent).summary
    assert (counts["accepted"], counts["quarantined"]) == (16, 0)
    assert counts["accepted_by_split"] == {"train": 8, "test": 8}
    first = next(iter(reader.records()))
    assert first.file_name == "train/0.png"
    assert first.image == image(0)


def test_pictures_in_an_archive_of_the_folder_are_read(tmp_path):
    (tmp_path / "set").mkdir()
    for split in ("train", "test"):
        with zipfile.ZipFile(tmp_path / f"set/{split}.zip", "w") as file:
            lines = ["file_name,label"]
            for n in range(4):
                file.writestr(f"{n}.png", image(n + 9 * len(split)))
                lines.append(f"{n}.png,{'cat' if n % 2 else 'dog'}")
            file.writestr("metadata.csv", "\n".join(lines))
    reader = source(tmp_path / "set", attributes=[])
    reader.check(annotated=False)
    rows = list(reader.records())
    assert rows[0].columns == {"label": "dog"}
    assert sorted(row.split for row in rows) == ["test"] * 4 + ["train"] * 4
    assert all(row.refusal is None for row in rows)
    assert {row.image for row in rows if row.split == "test"} == {image(n + 36) for n in range(4)}


# --- what is refused ----------------------------------------------------------------------------


def test_a_loading_script_is_never_run(tmp_path):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/evil.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(SourceError, match="has a loading script, and HEML runs no code"):
        source(tmp_path / "evil").check()


@pytest.mark.parametrize("names", ["../hub/data/*.parquet", "{root}/hub/data/*.parquet"])
def test_a_configuration_may_not_name_files_of_others(hub, tmp_path, names):
    card = f'---\nconfigs:\n- config_name: default\n  data_files: "{names}"\n---\n'
    (tmp_path / "set").mkdir()
    (tmp_path / "set/README.md").write_text(card.replace("{root}", str(tmp_path)))
    with pytest.raises(SourceError, match=r"names a file that is not its own"):
        source(tmp_path / "set").check()


def test_rows_may_not_name_files_of_others(tmp_path, store, taxonomy):
    (tmp_path / "secret.png").write_bytes(image(1))
    (tmp_path / "set").mkdir()
    (tmp_path / "set/link.png").symlink_to(tmp_path / "secret.png")
    paths = [
        *(str(tmp_path / "secret.png"), "../secret.png", "link.png", "memory://x/y.png"),
        *(f"zip://a.png::{tmp_path}/x.zip", "zip://../a.png::x.zip", "zip://a.png::no.zip"),
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    good = [{"bytes": image(n), "path": None} for n in range(50, 58)]
    images = good + [{"bytes": None, "path": path} for path in paths]
    number = len(images)
    columns = {
        "image": pa.array(images, kind),
        "label": ["cat", "dog"] * (number // 2) + ["cat"] * (number % 2),
        "tone": ["light" if n % 4 < 2 else "dark" for n in range(number)],
        "split": ["train"] * number,
    }
    pq.write_table(pa.table(columns), tmp_path / "set/train.parquet")
    reader = source(tmp_path / "set", max_refused=1)
    ingest(store, reader.settings, Path("/"), taxonomy, False, silent)
    assert [row["reason"] for row in quarantined(store)] == ["unsafe_path"] * len(paths)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("./nowhere", "there is no folder"),
        ("pandas", "neither a folder nor a name of the Hub"),
        ("https://host/x", "neither a folder nor a name of the Hub"),
        ("a/b/c", "neither a folder nor a name of the Hub"),
    ],
)
def test_datasets_that_cannot_be_located_are_refused(tmp_path, dataset, words):
    with pytest.raises(SourceError, match=words):
        located(dataset, tmp_path)


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/train.txt").write_text("words\n")
    with pytest.raises(SourceError, match="read as 'text'"):
        source(tmp_path / "set").check()
    (tmp_path / "set/train.txt").unlink()
    with pytest.raises(SourceError, match="cannot be loaded"):
        source(tmp_path / "set").check()


def test_columns_that_are_not_there_are_named(hub):
    with pytest.raises(SourceError, match="did you mean 'image'"):
        source(hub, image="imag").check()
    with pytest.raises(SourceError, match=r"source\.label: .* did you mean 'label'"):
        source(hub, label="labl").check()


def test_state_follows_the_files(hub):
    before = source(hub).state()
    assert source(hub).state() == before
    path = hub / "data/train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes())
    assert source(hub).state() != before


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_state_follows_pictures_that_rows_only_name(tmp_path, form):
    (tmp_path / "hub").mkdir()
    for number in range(4):
        (tmp_path / f"hub/{number}.png").write_bytes(image(number))
    rows = [{"image": f"{n}.png", "label": "cat" if n % 2 else "dog"} for n in range(4)]
    if form == "parquet":
        named = [row | {"image": {"bytes": None, "path": row["image"]}} for row in rows]
        pq.write_table(pa.Table.from_pylist(named), tmp_path / "hub/train.parquet")
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "hub/train.jsonl").write_text(lines)
    before = source(tmp_path / "hub", attributes=[]).state()
    assert source(tmp_path / "hub", attributes=[]).state() == before
    (tmp_path / "hub/3.png").write_bytes(image(99))
    assert source(tmp_path / "hub", attributes=[]).state() != before
