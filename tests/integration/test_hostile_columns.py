"""Exports of an input whose columns are named like the keys of the formats and hold paths.

Every export is read back with the reader of its format, and gives the rows of the dataset.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import dataset_store
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import heml
from heml.dataset.export import export_dataset
from heml.dataset.export_format import EXPORTS
from heml.dataset_folder.reader import read_rows
from heml.images.images_table import decode_image
from heml.storage.store import Store

#: What each column holds, followed by the number of the row.
HOSTILE = {
    **dict.fromkeys(
        ("id", "license", "licence", "width", "height", "coco_url", "segmentation", "bbox"), "7"
    ),
    **dict.fromkeys(("split", "label", "weight", "origin", "group", "masks", "row", "input"), "x"),
    **dict.fromkeys(("key", "__key__", "__url__", "cls", "json", "png", "jpg", "txt"), "k.k"),
    **dict.fromkeys(("file_name", "mask_file_name", "image_file_name", "path"), "../../escaped"),
    **dict.fromkeys(("file_names", "a_file_names", "file_name_", "images"), "/tmp/escaped"),
    **dict.fromkeys(("..", "a/b", "a.b", "a b", "ümlaut", "image_id", "input_weight"), '\n\x00"'),
}


def mixed(data: bytes, number: int) -> bytes:
    """Every third image as JPEG, one as two JPEG images in a file (MPO)."""
    if number % 3:
        return data
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        if number == 3:
            second = Image.new("RGB", image.size)
            image.convert("RGB").save(buffer, "MPO", save_all=True, append_images=[second])
        else:
            image.convert("RGB").save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("hostile") / "deep" / "store"
    store = dataset_store.make_store(folder, 40, 12, columns=HOSTILE, encode_image=mixed)
    dataset_store.write(store)
    return store


@pytest.fixture(scope="module")
def exported(made: Store) -> Path:
    """All exports; nothing else may appear around them."""
    root = made.root.parents[1]
    before = {p for p in root.rglob("*") if made.root not in p.parents}
    for name in EXPORTS.names():
        export_dataset(made.rebalanced_dataset, name, made.exports / name)
    assert {p for p in root.rglob("*") if made.root not in p.parents} == before
    return made.exports


def rows(store: Store, split: str) -> list[dict[str, object]]:
    columns = heml.open_dataset(store.rebalanced_dataset).schema.names
    return list(read_rows(store.rebalanced_dataset, split, columns))


def same_pixels(image: Image.Image, data: bytes) -> None:
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), decode_image(data))


def test_the_dataset_keeps_every_column_of_the_input(made):
    first = rows(made, "train")[0]
    for column, value in HOSTILE.items():
        found = [
            v
            for n, v in first.items()
            if n.removeprefix("input_").removeprefix("input_") == column.removeprefix("input_")
        ]
        assert any(isinstance(v, str) and v.startswith(value) for v in found), column


@pytest.mark.parametrize("split", ["train", "test"])
def test_pycocotools_reads_the_rows(made, exported, split, capsys):
    from pycocotools.coco import COCO

    folder = exported / "coco" / split
    coco = COCO(str(folder / "labels.json"))
    wanted = rows(made, split)
    assert sorted(coco.imgs) == list(range(1, len(wanted) + 1))
    licences = {entry["id"] for entry in coco.dataset["licenses"]}
    assert not list(exported.rglob("*.mpo"))
    for image, row in zip(coco.loadImgs(sorted(coco.imgs)), wanted, strict=True):
        path = folder / "data" / image["file_name"]
        assert path.resolve().parent == (folder / "data").resolve()
        assert path.read_bytes() == row["image"]["bytes"]
        assert (image["width"], image["height"]) == (row["width"], row["height"])
        assert image["license"] in licences
        plain = {name: value for name, value in row.items() if name not in ("image", "masks")}
        assert image["row"] == json.loads(json.dumps(plain))
        found = {
            coco.cats[a["category_id"]]["name"]: coco.annToMask(a)
            for a in coco.imgToAnns[image["id"]]
        }
        assert set(found) == {mask["class_name"] for mask in row["masks"]}


def test_datasets_reads_the_image_folder(made, exported, tmp_path):
    from datasets import load_dataset

    folder = exported / "imagefolder"
    loaded = load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path))
    table = pd.read_csv(folder / "table.csv", lineterminator="\n", keep_default_na=False)
    assert not table.columns.duplicated().any()
    for split in ("train", "test"):
        wanted = rows(made, split)
        assert len(loaded[split]) == len(wanted)
        names = loaded[split].features["mouth"].names
        for found, row in zip(loaded[split], wanted, strict=True):
            same_pixels(found["image"], row["image"]["bytes"])
            assert found["image_id"] == row["image_id"]
            assert found["weight"] == row["weight"]
            assert names[found["mouth"]] == row["mouth"]
            assert found["input"]["file_name_"] == row["file_name"]
            assert found["input"]["split"] == row["split"]
            assert found["input"]["mask_file_name_"] == row["mask_file_name"]


def test_datasets_reads_the_web_dataset(made, exported, tmp_path):
    from datasets import load_dataset

    for split in ("train", "test"):
        pattern = str(exported / "webdataset" / f"{split}-*.tar")
        loaded = load_dataset(
            "webdataset", data_files={split: pattern}, split=split, cache_dir=str(tmp_path)
        )
        wanted = rows(made, split)
        assert len(loaded) == len(wanted)
        assert len(set(loaded["__key__"])) == len(wanted)
        for found, row in zip(loaded, wanted, strict=True):
            # Of PNG and JPEG files both.
            same_pixels(found["jpg"], row["image"]["bytes"])
            assert found["json"]["image_id"] == row["image_id"]
            content = json.loads(found["json"]["row"])
            plain = {name: value for name, value in row.items() if name != "image"}
            assert content == json.loads(json.dumps(plain))


def test_webdataset_reads_the_web_dataset(made, exported):
    import webdataset

    pattern = [str(p) for p in sorted((exported / "webdataset").glob("train-*.tar"))]
    samples = list(webdataset.WebDataset(pattern, shardshuffle=False).decode("pil"))
    wanted = rows(made, "train")
    assert [s["json"]["image_id"] for s in samples] == [row["image_id"] for row in wanted]
    for sample, row in zip(samples, wanted, strict=True):
        same_pixels(sample["jpg"], row["image"]["bytes"])


def test_a_label_that_means_a_path_to_the_reader_is_still_a_label(tmp_path):
    """The label's column is called `file_name`, the attribute's `image`."""
    import pyarrow as pa

    from data_contracts.common import IMAGE
    from heml.dataset.exports.imagefolder import _Shape
    from heml.dataset_folder.features import dataset_contract, output_names, with_features

    classes = {"file_name": ["a", "b"], "image": ["c", "d"]}
    contract = dataset_contract(list(classes), classes)
    names = output_names(list(classes))
    stored = with_features(contract.schema(), {names[n]: v for n, v in classes.items()})
    assert stored.field("image").type == IMAGE
    shape = _Shape(stored)
    top = [f.name for f in shape.schema]
    assert len(set(top)) == len(top)
    assert top[0] == "file_name"
    assert pa.types.is_integer(shape.schema.field("file_name_").type)
