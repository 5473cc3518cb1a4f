"""Segments go to an annotation tool, come back corrected, and are used by the stage."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from pycocotools import mask as coco_mask

from heml.compute.progress import silent
from heml.segmentation.exchange.form import FormError
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.storage.run_context import RunContext
from heml.storage.store import open_store
from pipelines.cli.app import main
from pipelines.cli.exit_codes import DONE, REFUSED
from pipelines.recipe.model import load_recipe

RECIPE = """
name: toys
source: {{kind: folder, root: {root}, label: label, attributes: [tone]}}
segmentation: {{kind: annotated, least_area: 0.05, doubted: drop{more}}}
taxonomy:
  leaves: {{background: [background], shape: [shape]}}
  tree: {{image: [background, shape]}}
  ignored: [void]
"""


@pytest.fixture
def toys(dataset, tmp_path, monkeypatch, taxonomy):
    """A recipe whose segments stage has run, and a way to run it again."""
    monkeypatch.setenv("HEML_STORE", str(tmp_path / "store"))
    dataset.good(12)
    dataset.write()
    path = tmp_path / "toys.yaml"
    path.write_text(RECIPE.format(root=dataset.root, more=""))
    store = open_store("toys")
    ingest(store, dataset.settings(), dataset.root, taxonomy, True, silent)

    def run():
        recipe = load_recipe(path)
        settings = recipe.settings.segmentation
        outcome = segment(RunContext(store, recipe.source_taxonomy), settings, base=tmp_path)
        rows = pq.read_table(store.segments).to_pylist()
        return outcome.summary, {(row["image_id"], row["class_name"]): row for row in rows}

    run()
    return path, run


def corrected(folder, name):
    """The exported file with the first image's shape moved to its upper left corner."""
    file = folder / "instances.json"
    content = json.loads(file.read_text())
    mask = np.zeros((16, 24), np.uint8, order="F")
    mask[:2, :3] = 1  # smaller than what is doubted
    rle = coco_mask.encode(mask)
    content["annotations"][0]["segmentation"] = {**rle, "counts": rle["counts"].decode()}
    content["annotations"][0]["category_id"] = name
    file.write_text(json.dumps(content))
    return file, content


@pytest.mark.parametrize("form", ["coco", "label_studio", "cvat"])
def test_images_and_segments_are_written_for_a_tool(toys, tmp_path, form, capsys):
    path, _ = toys
    folder = tmp_path / "out"
    options = ["--to", str(folder), "--format", form, "--images", "5"]
    assert main(["segments", "export", str(path), *options]) == DONE
    assert "5 images" in capsys.readouterr().out
    pictures = sorted(p.name for p in (folder / "images").iterdir())
    assert len(pictures) == 5
    assert all(name.endswith(".png") for name in pictures)
    file = folder / {"coco": "instances.json", "cvat": "annotations.xml"}.get(form, "tasks.json")
    assert all(name in file.read_text() for name in pictures)
    assert "background" not in file.read_text()
    assert main(["segments", "export", str(path), *options]) == REFUSED


def test_corrections_replace_segments(toys, tmp_path, capsys):
    path, run = toys
    folder = tmp_path / "out"
    main(["segments", "export", str(path), "--to", str(folder), "--images", "3"])
    file, content = corrected(folder, 1)
    assert main(["segments", "correct", str(path), str(file)]) == DONE
    said = capsys.readouterr().out
    assert "3 images corrected, coco" in said
    assert "add corrections: toys.corrections.parquet" in said
    _, before = run()
    path.write_text(path.read_text().replace("drop", "drop, corrections: toys.corrections.parquet"))
    summary, after = run()
    assert summary["corrected"] == 3
    assert summary["kept"] == 9
    stem = content["images"][0]["file_name"].rpartition(".")[0]
    (image_id,) = {i for i, _ in after if i.rsplit("/", 1)[-1] in stem}
    shape, background = after[image_id, "shape"], after[image_id, "background"]
    assert (shape["area"], shape["box_x"], shape["box_y"]) == (6, 0, 0)
    assert background["area"] == 16 * 24 - 6
    assert shape["segmenter"] == "corrected:coco"
    assert shape["doubt"] is None
    others = {key: row for key, row in after.items() if row["segmenter"] == "annotated"}
    assert len({i for i, _ in others}) == 9
    assert all(row == before[key] for key, row in others.items())
    again, _ = run()
    assert again == summary


def test_later_corrections_come_on_top(toys, tmp_path, capsys):
    path, run = toys
    folder = tmp_path / "out"
    main(["segments", "export", str(path), "--to", str(folder), "--images", "2"])
    file, content = corrected(folder, 1)
    main(["segments", "correct", str(path), str(file)])
    content["images"] = content["images"][:1]
    content["annotations"] = []
    file.write_text(json.dumps(content))
    main(["segments", "correct", str(path), str(file)])
    path.write_text(path.read_text().replace("drop", "drop, corrections: toys.corrections.parquet"))
    summary, after = run()
    assert summary["corrected"] == 2
    stem = content["images"][0]["file_name"].rpartition(".")[0]
    (image_id,) = {i for i, _ in after if i.rsplit("/", 1)[-1] in stem}
    assert (image_id, "shape") not in after
    assert after[image_id, "background"]["area"] == 16 * 24


def test_mistakes_are_told(toys, tmp_path, capsys):
    path, run = toys
    content = {
        "images": [
            {"id": 1, "file_name": "nobody.png", "width": 24, "height": 16},
            {"id": 2, "file_name": "x/0001.png", "width": 10, "height": 10},
            {"id": 3, "file_name": "0002.png", "width": 24, "height": 16},
        ],
        "annotations": [
            {"image_id": 2, "category_id": 1, "segmentation": [[0, 0, 5, 0, 5, 5]]},
            {"image_id": 3, "category_id": 2, "segmentation": [[0, 0, 5, 0, 5, 5]]},
        ],
        "categories": [{"id": 1, "name": "shape"}, {"id": 2, "name": "shap"}],
    }
    file = tmp_path / "x.json"
    file.write_text(json.dumps(content))
    assert main(["segments", "correct", str(path), str(file)]) == DONE
    said = capsys.readouterr().out
    assert "nobody.png: no image of the store has this name" in said
    assert "x/0001.png: it is 10×10, the image 24×16" in said
    assert "0002.png: unknown segment 'shap'; did you mean 'shape'" in said
    assert "0 images corrected" in said
    assert main(["segments", "correct", str(path), str(tmp_path / "none.json")]) == REFUSED
    path.write_text(path.read_text().replace("drop", "drop, corrections: missing.parquet"))
    with pytest.raises(FormError, match=r"no file .*missing\.parquet; heml segments correct"):
        run()
    (tmp_path / "missing.parquet").write_bytes(b"no table")
    with pytest.raises(FormError, match="no table of corrections"):
        run()


def test_the_least_sure_come_first(toys, tmp_path):
    path, _ = toys
    folder = tmp_path / "out"
    options = ["--to", str(folder), "--images", "2", "--doubted"]
    assert main(["segments", "export", str(path), *options]) == DONE
    assert len(list((folder / "images").iterdir())) == 2
