"""The generated pages of docs/ are what the code says now."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from pipelines.recipe.model import Recipe
from pipelines.reference.pages import PAGES
from pipelines.reference.parts import description, registries

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages of a process of their own: other tests register parts that HEML does not bring."""
    folder = tmp_path_factory.mktemp("pages")
    command = [sys.executable, "-m", "pipelines.reference", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_page_is_current(name, folder):
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    now = (folder / name).read_text(encoding="utf-8")
    assert written == now, f"docs/{name} is out of date: run `make docs`, then commit it"


def test_only_pages_are_written(folder):
    assert {path.name for path in folder.iterdir()} == set(PAGES)


def test_every_key_has_a_place_in_the_recipe_reference():
    page = PAGES["recipe.md"]()
    assert [key for key in Recipe.model_fields if f"| `{key}` |" not in page] == []
    assert "kind `folder`" in page
    assert "### `budget.score`" in page


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines/recipes").glob("*.yaml")), ids=str)
def test_schema_accepts_the_packaged_recipes(path):
    schema = json.loads(PAGES["recipe.schema.json"]())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"source": {"kind": "portraits"}, "metrik": {}}, []),
        ({"source": {"kind": "portraits"}, "rebalance": {"operators": ["warp"]}}, ["rebalance"]),
    ],
)
def test_schema_refuses_what_a_recipe_must_not_say(wrong, where):
    schema = json.loads(PAGES["recipe.schema.json"]())
    with pytest.raises(jsonschema.ValidationError) as error:
        jsonschema.validate({"name": "x", **wrong}, schema)
    assert list(error.value.absolute_path)[:1] == where


@pytest.mark.parametrize(
    "short",
    [
        {"watch": True},
        {"schedule": "0 3 * * 1"},
        {"alerts": "mailto://team@example.org"},
        {"alerts": ["mailto://team@example.org", "json://example.org"]},
        {"metric": {"trunk": {"backbone": "a/b"}}},
    ],
)
def test_schema_accepts_short_forms(short):
    schema = json.loads(PAGES["recipe.schema.json"]())
    jsonschema.validate({"name": "x", "source": {"kind": "portraits"}, **short}, schema)


def test_every_part_that_comes_with_heml_is_described():
    missing = [
        f"{name}: {part.name}"
        for name, registry in registries()
        for part in registry
        if not description(part)
    ]
    assert missing == []
