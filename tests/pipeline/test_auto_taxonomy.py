"""`taxonomy: auto`: a file beside the recipe, written once, for review."""

import numpy as np
import pytest
import tiny_prompted
import torch
from conftest import png

from pipelines.cli.app import main
from pipelines.cli.execution import _write_missing_taxonomy
from pipelines.cli.exit_codes import DONE, REFUSED
from pipelines.recipe.model import RecipeError, load_recipe

RECIPE = """
name: toys
source: {{kind: folder, root: {root}, label: label, attributes: [tone]}}
segmentation: {segmentation}
taxonomy: auto
"""
ANNOTATED = "{kind: annotated}"
PROMPTS = "{bird: bird, beak: beak of the bird, water: water, background: rest}"


@pytest.fixture
def recipe(dataset, tmp_path, monkeypatch):
    """Writes a recipe for images whose masks have a window within a wall."""
    monkeypatch.setenv("HEML_STORE", str(tmp_path / "store"))
    dataset.classes({0: "background", 1: "Wall", 2: "window", 3: "void"})
    for number in range(16):
        ids = np.zeros((16, 24), np.uint8)
        ids[2:14, 4:20] = 1
        ids[5:9, 7 + number % 4 : 13] = 2
        ids[15] = 3
        dataset.row(mask=png(ids))
    dataset.write()

    def write(segmentation):
        path = tmp_path / "toys.yaml"
        path.write_text(RECIPE.format(root=dataset.root, segmentation=segmentation))
        return path

    return write


def test_branches_of_masks_are_found_and_written_for_review(recipe, capsys):
    path = recipe(ANNOTATED)
    with pytest.raises(RecipeError, match=r"taxonomy: auto needs the file .*toys\.taxonomy\.yaml"):
        load_recipe(path)
    assert main(["taxonomy", "auto", str(path)]) == DONE
    said = capsys.readouterr().out
    assert "looking at the segments of 16 images" in said
    assert "wall_with_parts" in said
    written = path.with_name("toys.taxonomy.yaml").read_text()
    assert "100% of it with wall" in written
    taxonomy = load_recipe(path).source_taxonomy
    assert taxonomy.tree["wall_with_parts"] == ("wall", "window")
    assert taxonomy.leaves["wall"] == ("Wall",)
    assert taxonomy.ignored == ("void",)
    assert "wall_with_parts" in load_recipe(path).text  # the report shows it


def test_the_file_stays_until_it_is_replaced(recipe, capsys):
    path = recipe(ANNOTATED)
    main(["taxonomy", "auto", str(path)])
    file = path.with_name("toys.taxonomy.yaml")
    first = file.read_text()
    reviewed = first.replace("wall_with_parts", "house")
    file.write_text(reviewed)
    assert main(["taxonomy", "auto", str(path)]) == DONE
    assert "--replace writes it anew" in capsys.readouterr().out
    assert file.read_text() == reviewed
    assert "house" in load_recipe(path).taxonomy.tree
    assert main(["taxonomy", "auto", str(path), "--replace"]) == DONE
    assert file.read_text() == first  # the same images give the same tree


def test_a_run_writes_what_is_missing(recipe, capsys):
    path = recipe(ANNOTATED)
    _write_missing_taxonomy(path)
    assert "review it" in capsys.readouterr().out
    _write_missing_taxonomy(path)
    assert capsys.readouterr().out == ""
    assert "wall_with_parts" in load_recipe(path).taxonomy.tree


def test_prompts_are_leaves_and_their_words_say_parts(recipe):
    path = recipe(f"{{kind: prompted, checkpoint: weights, prompts: {PROMPTS}}}")
    taxonomy = load_recipe(path).taxonomy
    assert set(taxonomy.leaves) == {"bird", "beak", "water", "background"}
    assert taxonomy.tree["bird_with_parts"] == ("bird", "beak")


def test_prompted_segments_give_branches(recipe, tmp_path, capsys):
    torch.manual_seed(3)
    folder = tmp_path / "clipseg"
    folder.mkdir()
    tiny_prompted.clipseg(folder)
    segmentation = f"{{kind: prompted, checkpoint: {folder}, prompts: {PROMPTS}}}"
    path = recipe(segmentation)
    text = path.read_text()
    path.write_text(text.replace(str(tmp_path / "data"), str(plain(tmp_path))))
    assert main(["taxonomy", "auto", str(path), "--images", "4"]) == DONE, capsys.readouterr()
    assert load_recipe(path).taxonomy.tree["bird_with_parts"] == ("bird", "beak")
    path.write_text(path.read_text().replace("water: water, ", ""))
    with pytest.raises(RecipeError, match=r"other leaves than the segmentation has now \(water\)"):
        load_recipe(path)


def plain(tmp_path):
    """The images without masks and classes."""
    folder = tmp_path / "plain"
    folder.mkdir()
    lines = ["file_name,label,tone,split"]
    for number in range(8):
        rng = np.random.default_rng(number)
        (folder / f"{number}.png").write_bytes(png(rng.integers(0, 256, (16, 24, 3), np.uint8)))
        lines.append(f"{number}.png,{'ab'[number % 2]},{'xy'[number // 2 % 2]},train")
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


def test_mistakes_are_refused(recipe, capsys):
    path = recipe(ANNOTATED)
    file = path.with_name("toys.taxonomy.yaml")
    file.write_text("leaves: [a\n")
    with pytest.raises(RecipeError, match=r"toys\.taxonomy\.yaml: not valid YAML"):
        load_recipe(path)
    file.write_text("leaves: {a: [a]}\ntree: {image: [b]}\n")
    with pytest.raises(RecipeError, match="unknown child 'b'"):
        load_recipe(path)
    path.write_text(path.read_text().replace("taxonomy: auto", "taxonomy: camvid"))
    assert main(["taxonomy", "auto", str(path)]) == REFUSED
    assert "write taxonomy: auto" in capsys.readouterr().err
