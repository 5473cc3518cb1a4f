"""A toy export format in a single file: registered here, or installed beside HEML."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dataset_store
import pytest
from toy_parts import install_toy

from heml.dataset.dataset_settings import DatasetSettings
from heml.dataset.export import write_exports
from heml.dataset.export_format import EXPORTS
from heml.dataset_folder.reader import read_rows, splits_of
from heml.storage.store import Store
from pipelines.recipe.model import RecipeError, load_recipe

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "dataset.md"
RECIPE = "name: faces\nsource: {{kind: portraits}}\ndataset: {{exports: [{}]}}\n"
TOY = '''
"""Ids, one a line."""

from heml.dataset_folder.reader import read_rows, splits_of


class Lines:
    name = "toy_lines"
    rank = 9
    description = "Ids, one a line."
    layout = "`ids.txt`"
    read_by = "people"

    def write(self, source, target, manifest):
        target.mkdir(parents=True)
        ids = [r["image_id"] for s in splits_of(source) for r in read_rows(source, s, ["image_id"])]
        (target / "ids.txt").write_text("\\n".join(ids))
        return len(ids)


toy_lines = Lines()
'''


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = dataset_store.make_store(tmp_path_factory.mktemp("toys") / "store", 40, 6)
    dataset_store.write(store)
    return store


@pytest.fixture(params=["registered", "installed"])
def toy(request, tmp_path, monkeypatch):
    """The toy's name, known in both ways."""
    if request.param == "installed":
        install_toy(tmp_path, monkeypatch, "heml.exports", "toy_lines", TOY)
    else:
        space: dict[str, object] = {}
        exec(TOY, space)
        EXPORTS.register(space["toy_lines"])
    yield "toy_lines"
    EXPORTS.unregister("toy_lines")


def recipe(folder: Path, name: str):
    path = folder / "faces.yaml"
    path.write_text(RECIPE.format(name))
    return load_recipe(path)


def known() -> list[str]:
    """The formats that editors complete a recipe with."""
    return DatasetSettings.model_json_schema()["properties"]["exports"]["items"]["enum"]


def test_a_recipe_that_names_the_toy_gets_its_files(toy, store, tmp_path):
    chosen = recipe(tmp_path, toy).settings.dataset.exports
    folder = store.rebalanced_dataset
    ids = [r["image_id"] for s in splits_of(folder) for r in read_rows(folder, s, ["image_id"])]
    assert write_exports(dataset_store.run_of(store), chosen) == {toy: len(ids)}
    assert (store.exports / toy / "ids.txt").read_text().splitlines() == ids
    assert toy in known()


def test_without_it_nobody_knows_it(tmp_path):
    assert EXPORTS.names() == ("coco", "imagefolder", "webdataset")
    assert known() == ["coco", "imagefolder", "webdataset"]
    with pytest.raises(RecipeError, match="'koko' is unknown; did you mean 'coco'"):
        recipe(tmp_path, "koko")


def test_exporting_alone_knows_all_columns():
    # In a process that has run no stage, as `heml dataset export` does.
    code = "import heml.dataset.export; from data_contracts import REBALANCED_DATASET as r; "
    code += "print('gate_seam' in r.column_names)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "True\n", done.stderr


def test_the_docs_list_every_format():
    table = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    for part in EXPORTS:
        assert f"| `{part.name}` | {part.description} | {part.layout} | {part.read_by} |" in table
