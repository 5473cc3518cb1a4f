"""A toy source layout in a single file: in recipes, drafted, read and stored."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image
from toy_parts import install_toy

from heml.compute.progress import silent
from heml.images.images_table import image_index
from heml.sources.ingest import ingest
from heml.sources.layout import LAYOUTS
from heml.storage.store import Store
from pipelines.recipe.draft.find import find_source
from pipelines.recipe.model import RecipeError, load_recipe

TOY = """
from pathlib import Path
from typing import Literal

from heml.sources.base import FileRow, FileSource
from heml.sources.files import most_bytes, open_files
from heml.sources.layout import Layout
from heml.sources.source_settings import RootSource


class PairsSource(RootSource):
    kind: Literal["pairs"]
    label: str = "shade"


class PairsReader(FileSource):
    def __init__(self, settings, base):
        super().__init__(settings, open_files(settings.root, base, most_bytes(settings.max_pixels)))

    def check(self, annotated=True):
        self.check_root()

    def given_columns(self):
        return ["shade", "side"]

    def table_names(self):
        return ["pairs.txt"]

    def classes(self):
        return {0: "background", 1: "shape"}

    def rows(self):
        text = self.files.read("pairs.txt", "missing_image").decode()
        for number, line in enumerate(text.split()):
            name, split, shade, side = line.split(",")
            columns = {"shade": shade, "side": side}
            yield FileRow(number, f"{name}.png", f"{name}-mask.png", name, split, columns)


pairs = Layout(
    name="pairs",
    rank=35,
    description="images and masks side by side",
    settings=PairsSource,
    open=PairsReader,
    taxonomy="toy_shapes",
    problems=lambda settings: (
        [(("label",), "is never 'hue'; write shade")] if settings.label == "hue" else []
    ),
    recognize=lambda found: {"label": "shade"} if "pairs.txt" in found.files else None,
)
"""
RECIPE = """
name: toy
source: {{kind: pairs, root: {root}, attributes: [side]}}
taxonomy:
  leaves: {{background: [background], shape: [shape]}}
  tree: {{image: [background, shape]}}
"""


@pytest.fixture(params=["registered", "installed"])
def toy(request, tmp_path, monkeypatch):
    """The toy's name, known in both ways."""
    if request.param == "installed":
        install_toy(tmp_path, monkeypatch, "heml.sources", "pairs", textwrap.dedent(TOY))
    else:
        names: dict[str, object] = {"__name__": "toy"}
        exec(TOY, names)
        LAYOUTS.register(names["pairs"])
    yield "pairs"
    LAYOUTS.unregister("pairs")


@pytest.fixture
def root(tmp_path):
    """Twelve small images of the toy's layout."""
    root = tmp_path / "data"
    root.mkdir()
    lines = []
    for number in range(12):
        image = np.full((24, 24, 3), number * 10, np.uint8)
        mask = np.zeros((24, 24), np.uint8)
        mask[6:18, 6:18] = 1
        Image.fromarray(image).save(root / f"{number}.png")
        Image.fromarray(mask).save(root / f"{number}-mask.png")
        split = "test" if number > 7 else "train"
        lines.append(f"{number},{split},{'light' if number % 2 else 'dark'},{number % 3 > 0}")
    (root / "pairs.txt").write_text("\n".join(lines))
    return root


def test_a_recipe_names_it_and_its_images_are_stored(toy, root, tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(RECIPE.format(root=root))
    recipe = load_recipe(path)
    assert recipe.source.label == "shade"
    store = Store(tmp_path / "store")
    ingest(store, recipe.source, recipe.folder, recipe.source_taxonomy, True, silent)
    index = image_index(store, ["side"])
    assert index["split"].value_counts().to_dict() == {"train": 8, "test": 4}
    assert sorted(index["label"].unique()) == ["dark", "light"]


def test_drafting_recognizes_it(toy, root):
    assert find_source(str(root)) == {"kind": "pairs", "root": str(root), "label": "shade"}


def test_its_problems_are_told_with_the_key(toy, root, tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(RECIPE.format(root=root).replace("attributes:", "label: hue, attributes:"))
    with pytest.raises(RecipeError, match=r"source\.label: is never 'hue'; write shade"):
        load_recipe(path)


def test_without_it_the_kind_is_unknown(root, tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(RECIPE.format(root=root))
    with pytest.raises(RecipeError, match=r"source\.kind: unknown kind 'pairs'"):
        load_recipe(path)


def test_layouts_are_known_without_what_reads_them():
    program = (
        "import sys; from heml.sources.layout import LAYOUTS; "
        "print([layout.settings for layout in LAYOUTS] and {'torch', 'pyarrow.parquet', "
        "'datasets', 'heml.sources.folder', 'heml.sources.portraits'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout == "set()\n", said.stderr
