"""`heml segments try`: a picture and a table of a few images, and nothing else changes."""

import re

import numpy as np
import pytest
import tiny_prompted
import torch
from PIL import Image

from heml.compute.progress import silent
from heml.segmentation.contact_sheet import colors, overlay, summarize
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.segmentation.trial import Trial, TriedImage
from heml.sources.ingest import ingest
from heml.sources.raw import RawRecord
from heml.sources.sample import sample
from heml.storage.run_context import RunContext
from heml.storage.store import open_store
from pipelines.cli.app import main
from pipelines.cli.exit_codes import DONE, REFUSED

RECIPE = """
name: toys
source: {{kind: folder, root: {root}, label: label, attributes: [tone]}}
segmentation: {segmentation}
taxonomy:
  leaves: {{background: [background], shape: [shape]}}
  tree: {{image: [background, shape]}}
  ignored: [void]
"""


@pytest.fixture
def tried(dataset, tmp_path, monkeypatch, capsys):
    """Runs the command on a recipe with some segmentation; gives exit code and what was said."""
    monkeypatch.setenv("HEML_STORE", str(tmp_path / "store"))
    dataset.good(20)
    dataset.write()
    path = tmp_path / "toys.yaml"

    def run(segmentation, *options):
        path.write_text(RECIPE.format(root=dataset.root, segmentation=segmentation))
        status = main(["segments", "try", str(path), *options])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def files(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_masks_are_shown_with_a_table(tried, tmp_path):
    status, said = tried("{kind: annotated}")
    assert status == DONE
    assert "12 images chosen of all 20 rows" in said
    assert re.search(r"leaf +images +mean area +confidence +doubted", said)
    assert re.search(r"background +100% +[\d.]+% +1\.00 +0", said)
    picture = tmp_path / "store" / "toys" / "segments_try.png"
    assert f"wrote {picture}" in said
    with Image.open(picture) as sheet:
        assert sheet.mode == "RGB"
        assert sheet.width >= 640
        assert sheet.height > 4 * 200


def test_the_seed_chooses_and_the_same_seed_gives_the_same_picture(tried, tmp_path):
    pictures = [tmp_path / f"{n}.png" for n in range(3)]
    for picture, seed in zip(pictures, "112", strict=True):
        status, said = tried(
            "{kind: annotated}", "--images", "3", "--seed", seed, "--out", str(picture)
        )
        assert status == DONE
        assert f"wrote {picture}" in said
    first, again, other = (picture.read_bytes() for picture in pictures)
    assert first == again
    assert first != other


def test_finished_stages_stay_as_they_are(tried, dataset, taxonomy, tmp_path):
    store = open_store("toys")
    ingest(store, dataset.settings(), dataset.root, taxonomy, True, silent)
    segment(RunContext(store, taxonomy), AnnotatedSegmentation())
    before = files(store.root)
    status, _ = tried("{kind: annotated, least_area: 0.9}")
    assert status == DONE
    after = files(store.root)
    assert after.pop(store.root / "segments_try.png")
    assert after == before


def test_words_are_tried_with_a_checkpoint(tried, tmp_path):
    torch.manual_seed(3)
    folder = tmp_path / "clipseg"
    folder.mkdir()
    tiny_prompted.clipseg(folder)
    prompts = "{shape: [bird, beak], background: rest}"
    status, said = tried(f"{{kind: prompted, checkpoint: {folder}, prompts: {prompts}}}")
    assert status == DONE, said
    assert "loading the segmenter" in said
    assert "segmenting: 8 of 12 images done" in said
    assert "stability (mirror, shift, zoom): 8 of 12 images done" in said
    assert re.search(r"doubted +stability +words agree", said)
    assert re.search(r"shape +\d+% .* [01]\.\d\d +[01]\.\d\d", said)


def test_leaves_with_the_same_pixels_and_leaves_that_are_not_found_are_told(tried, tmp_path):
    torch.manual_seed(3)
    folder = tmp_path / "clipseg"
    folder.mkdir()
    tiny_prompted.clipseg(folder)
    prompts = "{shape: bird, background: bird}"
    status, said = tried(f"{{kind: prompted, checkpoint: {folder}, prompts: {prompts}}}")
    assert status == DONE, said
    assert "'background' finds the same pixels as 'shape' in" in said or (
        "'shape' finds the same pixels as 'background' in" in said
    )
    assert "found in none of these images:" in said


def test_what_needs_no_masks_is_fitted_on_the_images_that_are_shown(tried):
    status, said = tried("{kind: unsupervised}", "--images", "2")
    assert status == DONE, said
    assert "segmenting: 0 of 2 images done" in said
    assert re.search(r"shape +\d+%", said)
    assert re.search(r"most doubtful first +least confidence +least stability", said)
    first, second = re.findall(r"images/\S+ +(0\.\d\d) \w+ +([01]\.\d\d) \w+", said)
    assert all(0 <= float(number) <= 1 for number in (*first, *second))


def test_stability_is_left_out_where_the_recipe_says_so(tried):
    status, said = tried("{kind: unsupervised, stability_images: 0}", "--images", "2")
    assert status == DONE, said
    assert "stability (" not in said
    assert "least stability" not in said


def test_a_segmenter_that_must_be_fitted_says_so(tried):
    status, said = tried("{kind: trained}")
    assert status == REFUSED
    assert "fitted on all annotated train images by the segments stage" in said


def test_mistakes_are_refused(tried, dataset, tmp_path):
    status, said = tried("{kind: annotated}", "--out", "sheet.jpg")
    assert (status, "no .png file" in said) == (REFUSED, True)
    status, said = tried(
        "{kind: prompted, checkpoint: ./missing, prompts: {shape: a, background: rest}}"
    )
    assert (status, "no such folder" in said) == (REFUSED, True)
    for image in dataset.root.rglob("*.png"):
        image.write_bytes(b"no picture")
    status, said = tried("{kind: annotated}")
    assert (status, "no image can be used" in said) == (REFUSED, True)


def test_other_sources_are_sampled_from_their_first_rows():
    class Rows:
        """A source that is no source of files, of 400 rows; every other one is left out."""

        def records(self):
            for number in range(400):
                split = "train" if number % 2 else "other"
                yield RawRecord(number, f"{number}.png", f"id-{number}", split)

    chosen = sample(Rows(), 5, 0)
    assert len({record.image_id for record in chosen.records}) == 5
    assert max(record.row for record in chosen.records) < 300
    assert {record.split for record in chosen.records} == {"train"}
    assert (chosen.among, chosen.whole) == (150, False)
    assert sample(Rows(), 5, 0) == chosen
    assert sample(Rows(), 5, 1) != chosen


def test_numbers_and_colors_by_hand():
    pixels = np.zeros((2, 4, 3), np.uint8)
    half = np.array([[1, 1, 0, 0]] * 2, bool)
    whole = np.ones((2, 4), bool)
    images = [
        TriedImage("a", pixels, {"hair": half}, {"hair": 0.5}, {}, {"hair": 0.5, "hat": 0.0}),
        TriedImage("b", pixels, {"hair": whole}, {"hair": 1.0}, {"hair": "unsure"}),
    ]
    assert [image.certainty for image in images] == [0.25, 1.0]
    trial = Trial(images, ["hair", "hat"], [], "toy", None, [])
    assert summarize(trial) == [
        ("hair", 1.0, 0.75, 0.75, 1, 0.5, None),
        ("hat", 0.0, None, None, 0, 0.0, None),
    ]
    palette = colors([*map(str, range(24)), "background"])
    assert len(set(palette.values())) == 25
    assert len(set(palette["background"])) == 1
    shown = overlay(images[0], {"hair": (200, 100, 0)})
    assert shown[0].tolist() == [[110, 55, 0]] * 2 + [[0, 0, 0]] * 2
    striped = overlay(images[1], {"hair": (200, 100, 0)})
    assert 0 < (striped.sum(2) > 0).mean() < 1
