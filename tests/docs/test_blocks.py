"""Shell lines and Python blocks of README and docs work.

Python blocks run against a small finished store. Of the shell lines, commands that only read a
store or write a small file run as they stand. Those in `PARSED` are parsed, because they train for
minutes, start servers, or need the reader's own dataset or cluster.
"""

import json
import os
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import jsonschema
import pytest
import yaml
from typer.main import get_command

import heml
from pipelines.cli.app import app, main
from pipelines.definitions import build_defs
from pipelines.recipe.json_schema import recipe_schema
from pipelines.recipe.model import Recipe

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks/README.md",
]
#: Subcommands of heml that are parsed and not run.
PARSED = (
    *("init", "run", "plan", "ui", "demo", "revoke", "clean", "status", "report", "verify"),
    "segments",
)

RECIPE = """\
name: demo
source: {kind: portraits, count: 100, size: 32, association: 0.9}
taxonomy:
  leaves: {hair: [hair], mouth: [mouth]}
  tree: {head: [hair, mouth]}
  ignored: [background, hat, skin, eyes, brows, nose, neck, clothes]
metric:
  epochs: 1
  resolution: {leaf: 16, branch: 24, root: 32}
rebalance: {budget: 0.3}
effect: {enabled: false}
"""


def blocks(page, *languages):
    """(language, text) of the fenced blocks in these languages, in order."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def with_blocks(*languages):
    return [
        pytest.param(page, id=str(page.relative_to(ROOT)))
        for page in PAGES
        if page.name != "cli.md" and blocks(page, *languages)
    ]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder with ./store/demo, finished up to the dataset."""
    folder = tmp_path_factory.mktemp("docs")
    recipe = folder / "demo.yaml"
    recipe.write_text(RECIPE)
    defs = build_defs(recipe_files=[recipe], store_root=folder / "store")
    with dg.DagsterInstance.ephemeral() as instance:
        stages = dg.AssetSelection.assets(dg.AssetKey(["demo", "rebalanced_dataset"])).upstream()
        keys = sorted(stages.resolve(defs.resolve_asset_graph()))
        job = defs.resolve_job_def("demo")
        assert job.execute_in_process(instance=instance, asset_selection=keys).success
    return folder


@pytest.fixture
def workplace(finished, tmp_path, monkeypatch):
    """A copy of it, as the current folder."""
    shutil.copytree(finished, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    shutil.copytree("store/demo", "store/faces")
    return tmp_path / "work"


@pytest.mark.parametrize("page", with_blocks("python"))
def test_python_blocks_run(page, workplace, capsys):
    namespace = {"__name__": "page"}
    for text in blocks(page, "python"):
        exec(compile(text, str(page), "exec"), namespace)


def test_notebook_runs(workplace, capsys):
    notebook = json.loads((ROOT / "docs/quickstart.ipynb").read_text("utf-8"))
    namespace = {"__name__": "notebook"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), "quickstart.ipynb", "exec"), namespace)


def shell_lines(page):
    text = "".join(blocks(page, "sh", "bash")).replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("page", with_blocks("sh", "bash"))
def test_shell_lines_work(page, workplace, capsys):
    for words in shell_lines(page):
        while re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        check = CHECKS.get(words[0])
        assert check is not None, f"no check for {shlex.join(words)}"
        check(words)


def heml_line(words):
    if words[1] in PARSED:
        parses(words[1:])
        return
    # What the reader's own folder is called, and a sample that this small store has.
    here = [word.replace("/data/", "data/") for word in words[1:]]
    if "recombined-000001" in here:
        train = heml.open_dataset("store/demo/rebalanced_dataset").table("train")
        samples = train.loc[train["origin"] == "recombined", "image_id"]
        here[here.index("recombined-000001")] = samples.iloc[0]
    Path("data").mkdir(exist_ok=True)
    assert main(here) == 0, shlex.join(words)


def parses(arguments):
    command = get_command(app)
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, arguments).close()


def make_line(words):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [word for word in words[1:] if "=" not in word]
    assert set(named) <= set(targets), shlex.join(words)


def python_line(words):
    """A module with options that its source knows."""
    assert words[1] == "-m"
    spec = find_spec(words[2])
    assert spec is not None, shlex.join(words)
    source = Path(spec.origin).read_text()
    flags = [word for word in words[3:] if word.startswith("--")]
    assert [flag for flag in flags if flag not in source] == [], shlex.join(words)


def pip_line(words):
    """Extras that the project has."""
    assert words[1] == "install"
    project = (ROOT / "pyproject.toml").read_text()
    for word in words[2:]:
        for extra in re.findall(r"\[(.*)\]", word):
            assert [e for e in extra.split(",") if f"\n{e} = [" not in project] == []


def dg_line(words):
    """A job or an asset that the packaged demo has."""
    defs = build_defs(recipe_files=[ROOT / "pipelines/recipes/demo.yaml"])
    named = words[words.index("launch") + 2]
    if "--job" in words:
        assert defs.resolve_job_def(named) is not None
    else:
        key = named.removeprefix("key:").strip('"')
        assert dg.AssetKey(key.split("/")) in defs.resolve_asset_graph().get_all_asset_keys()


def installed(words):
    """Starts servers or changes the shell: not checked further."""


CHECKS = {
    "heml": heml_line,
    "make": make_line,
    "python": python_line,
    "pip": pip_line,
    "dg": dg_line,
    ".": installed,
    "ray": installed,
}


@pytest.mark.parametrize("page", with_blocks("yaml"))
def test_fragments_of_recipes_are_valid(page):
    schema = json.loads(recipe_schema())
    for text in blocks(page, "yaml"):
        fragment = yaml.safe_load(text)
        if fragment and set(fragment) <= set(Recipe.model_fields):
            whole = {"name": "x", "source": {"kind": "portraits"}, **fragment}
            jsonschema.validate(whole, schema)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    lost = [
        link
        for link in links
        if not link.startswith(("http://", "https://", "mailto:"))
        and not os.path.exists(page.parent / link)
    ]
    assert lost == []
