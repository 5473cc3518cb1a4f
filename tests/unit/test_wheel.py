"""The wheel holds what an installation needs, and heml alone needs no Dagster."""

import subprocess
import sys
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("heml", "pipelines", "data_contracts")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the sources, without the network."""
    import shutil

    folder = tmp_path_factory.mktemp("wheel")
    for name in NEEDED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    code = "import setuptools.build_meta as build; print(build.build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(folder / done.stdout.split()[-1]) as archive:
        yield archive


def test_wheel_holds_every_module_and_data_file(wheel):
    suffixes = (".py", ".yaml", ".j2", ".css")
    expected = {
        str(path.relative_to(ROOT))
        for name in NEEDED
        for path in (ROOT / name).rglob("*")
        if path.suffix in suffixes
    }
    assert sorted(expected - set(wheel.namelist())) == []


def test_wheel_holds_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(NEEDED)


def test_command_of_the_wheel_is_there(wheel):
    points = ConfigParser()
    points.read_string(_metadata(wheel, "entry_points.txt"))
    module, _, function = points["console_scripts"]["heml"].partition(":")
    assert callable(getattr(import_module(module), function))


def test_extras_of_the_wheel(wheel):
    metadata = Parser().parsestr(_metadata(wheel, "METADATA"))
    assert {"hub", "inpaint", "ray", "s3", "postgres"} <= set(metadata.get_all("Provides-Extra"))


def _metadata(wheel, name):
    path = next(path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_heml_needs_neither_dagster_nor_torch_to_be_imported():
    code = """
import sys
for name in ("dagster", "pipelines", "torch"):
    sys.modules[name] = None  # importing it fails
import heml
import heml.taxonomy, heml.storage.store, heml.dataset_folder.reader
print(heml.__version__)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_help_is_fast_because_it_imports_little():
    code = """
import sys
from pipelines.cli.app import main
main(["--help"])
print([name for name in ("torch", "dagster", "pandas", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
