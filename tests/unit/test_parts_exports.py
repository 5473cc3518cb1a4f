"""A format of one file is known everywhere: recipes, their JSON schema, the stage that exports."""

from __future__ import annotations

import json
import sys
from importlib import invalidate_caches
from pathlib import Path

import dataset_store
import pytest
from pydantic import ValidationError

from heml.dataset.dataset_settings import DatasetSettings
from heml.dataset.export import write_exports
from heml.dataset.export_format import EXPORTS
from heml.dataset_folder.reader import read_rows, splits_of
from heml.parts.registry import RegistryError
from heml.storage.store import Store

DOCS = Path(__file__).parents[2] / "docs" / "dataset.md"

TOY = '''
"""One line for each row."""

from heml.dataset.export_format import EXPORTS
from heml.dataset_folder.reader import read_rows, splits_of


class Lines:
    name = "{name}"
    rank = 9
    description = "Ids, one a line."
    layout = "`ids.txt`"
    read_by = "people"

    def write(self, source, target, manifest):
        target.mkdir(parents=True)
        ids = [r["image_id"] for s in splits_of(source) for r in read_rows(source, s, ["image_id"])]
        (target / "ids.txt").write_text("\\n".join(ids))
        return len(ids)


PART = Lines()
'''


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = dataset_store.make_store(tmp_path_factory.mktemp("toys") / "store", 40, 6)
    dataset_store.write(store)
    return store


def ids(store: Store) -> list[str]:
    folder = store.rebalanced_dataset
    return [r["image_id"] for s in splits_of(folder) for r in read_rows(folder, s, ["image_id"])]


def exported(store: Store, name: str) -> list[str]:
    """What a recipe that names the format leaves in the store."""
    settings = DatasetSettings.model_validate({"exports": [name]})
    assert write_exports(dataset_store.run_of(store), settings.exports) == {name: len(ids(store))}
    return (store.exports / name / "ids.txt").read_text().splitlines()


def known_words() -> list[str]:
    schema = DatasetSettings.model_json_schema()
    return list(schema["properties"]["exports"]["items"]["enum"])


def test_a_registered_format_is_written_by_the_stage(store):
    space: dict[str, object] = {}
    exec(TOY.format(name="toy_lines"), space)
    EXPORTS.register(space["PART"])
    try:
        assert exported(store, "toy_lines") == ids(store)
        assert "toy_lines" in known_words()
    finally:
        EXPORTS.unregister("toy_lines")
    with pytest.raises(ValidationError, match="'toy_lines' is unknown"):
        DatasetSettings.model_validate({"exports": ["toy_lines"]})


def test_a_format_of_an_installed_package_is_written_by_the_stage(store, tmp_path, monkeypatch):
    (tmp_path / "toy_package.py").write_text(TOY.format(name="toy_installed"))
    about = tmp_path / "toy-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[heml.exports]\ntoy_installed = toy_package:PART\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    invalidate_caches()
    EXPORTS.__dict__.pop("_installed", None)
    try:
        assert exported(store, "toy_installed") == ids(store)
        assert "toy_installed" in known_words()
    finally:
        EXPORTS.unregister("toy_installed")
        EXPORTS.__dict__.pop("_installed", None)
        sys.modules.pop("toy_package", None)


def test_an_unknown_format_is_answered_with_the_nearest():
    with pytest.raises(ValidationError, match="did you mean 'coco'"):
        DatasetSettings.model_validate({"exports": ["coko"]})
    with pytest.raises(RegistryError, match="did you mean 'webdataset'"):
        _ = EXPORTS["webdatasets"]


def test_names_are_known_without_importing_a_format():
    assert EXPORTS.names() == ("coco", "imagefolder", "webdataset")
    assert json.loads(json.dumps(known_words())) == ["coco", "imagefolder", "webdataset"]


def test_the_docs_list_every_format():
    table = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    for part in EXPORTS:
        assert f"| `{part.name}` | {part.description} | {part.layout} | {part.read_by} |" in table
