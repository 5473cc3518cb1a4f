"""Object and background without masks: drawn scenes whose truth is known."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from heml.compute.progress import silent
from heml.recombination.judging.resegment import find_segmenter
from heml.segmentation.segmenter import SEGMENTERS, SegmentationContext
from heml.segmentation.segmenters.unsupervised import UnsupervisedSegmentation
from heml.segmentation.segments_stage import segment
from heml.segmentation.unsupervised.fitted import fitted_on
from heml.segmentation.unsupervised.outline import outlined
from heml.segmentation.unsupervised.regions import find_regions, working_image
from heml.segmentation.unsupervised.saliency import (
    boundary_connectivity,
    contrast,
    saliency,
)
from heml.sources.ingest import ingest
from heml.sources.layouts.folder import FolderSource
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

TAXONOMY = Taxonomy(
    "scenes",
    {"object": ("object",), "background": ("background",)},
    {"image": ("object", "background")},
)
SETTINGS = UnsupervisedSegmentation(kind="unsupervised")
SIZE = 96


def scene(number: int) -> tuple[np.ndarray, np.ndarray]:
    """An ellipse of one color on noise of another, and where it is."""
    rng = np.random.default_rng(number)
    mask = Image.new("1", (SIZE, SIZE))
    (x, y), (a, b) = rng.uniform(38, 58, 2), rng.uniform(16, 26, 2)
    ImageDraw.Draw(mask).ellipse([x - a, y - b, x + a, y + b], fill=1)
    mask = np.asarray(mask)
    behind, before = rng.uniform(20, 100, 3), rng.uniform(140, 220, 3)
    pixels = np.where(mask[..., None], before, behind) + rng.normal(0, 8, (SIZE, SIZE, 3))
    return pixels.clip(0, 255).astype(np.uint8), mask


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def folder_of(root, images):
    """A dataset folder of images alone."""
    (root / "images").mkdir(parents=True)
    lines = ["file_name,split,label"]
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(root / "images" / f"{number:03d}.png")
        lines.append(f"images/{number:03d}.png,train,{'odd' if number % 2 else 'even'}")
    (root / "metadata.csv").write_text("\n".join(lines))
    return root


def segmented(root, store, settings=SETTINGS, taxonomy=TAXONOMY):
    source = FolderSource(kind="folder", root=str(root), label="label", attributes=[])
    ingest(store, source, root, taxonomy, False, silent)
    return segment(RunContext(store, taxonomy), settings).summary


@pytest.fixture(autouse=True, scope="module")
def one_process():
    """A few small images are not worth starting others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEML_PROCESSES", "1")
        yield


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    root = folder_of(folder / "data", [scene(n)[0] for n in range(16)])
    store = Store(folder / "store")
    return root, store, segmented(root, store)


def test_drawn_objects_are_found(found):
    _, store, summary = found
    assert summary["fitted_images"] == 16
    finder = find_segmenter(store, SETTINGS, TAXONOMY, None)
    scores = []
    for number in range(100, 108):
        pixels, mask = scene(number)
        scores.append(iou(finder([pixels])[0]["object"], mask))
    assert np.mean(scores) > 0.85


def test_rows_say_what_made_them_and_how_sure_it_is(found):
    _, store, summary = found
    rows = pq.read_table(store.segments).to_pylist()
    assert {row["class_name"] for row in rows} == {"object", "background"}
    assert {row["segmenter"] for row in rows} == {summary["segmenter"]}
    assert summary["segmenter"].startswith("unsupervised:")
    assert {row["segmenter_licence"] for row in rows} == {None}
    assert all(0.5 <= row["confidence"] <= 1 for row in rows)


def test_the_same_images_give_the_same_segments(found, tmp_path):
    root, _, summary = found
    again = segmented(root, Store(tmp_path))
    assert (again["content"], again["segmenter"]) == (summary["content"], summary["segmenter"])


def test_a_finished_one_is_kept(found):
    _, store, summary = found
    lines = []
    (store.root / "manifests" / "segments.json").unlink()
    again = segment(RunContext(store, TAXONOMY, progress=lines.append), SETTINGS)
    assert "segmenter: fitted before, kept" in lines
    assert again.summary["content"] == summary["content"]


def tried(root, store, tmp_path):
    """Names of what a trial segments two images with, and what was said."""
    lines = []
    few = Store(tmp_path / "few")
    source = FolderSource(kind="folder", root=str(root), label="label", attributes=[])
    ingest(few, source, root, TAXONOMY, False, silent)
    context = SegmentationContext(few, TAXONOMY, {}, root, "few", lines.append)
    job = SEGMENTERS["unsupervised"].trial(SETTINGS, context, store)
    return job.facts["segmenter"], lines


def test_a_trial_learns_from_its_own_images_until_the_stage_has_run(found, tmp_path):
    _, store, summary = found
    root = folder_of(tmp_path / "data", [scene(n)[0] for n in (50, 51)])
    assert tried(root, store, tmp_path / "a") == (summary["segmenter"], [])
    name, lines = tried(root, Store(tmp_path / "none"), tmp_path / "b")
    assert name == "unsupervised:few"
    assert "segmenter: looking at 2 images" in lines


def test_of_many_images_hashes_choose_some(found):
    _, store, _ = found
    ids, content = fitted_on(store, 5)
    assert len(ids) == 5
    assert fitted_on(store, 5) == (ids, content)
    assert fitted_on(store, 6)[1] != content


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (40, 700), (1200, 900)])
def test_images_of_any_size_keep_it(found, size):
    finder = SEGMENTERS["unsupervised"].finished(SETTINGS, found[1], TAXONOMY, None)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    (prediction,) = finder.predict([pixels])
    assert prediction.ids.shape == size
    assert set(np.unique(prediction.ids)) <= {0, 1}


@pytest.mark.parametrize("color", [0, 90, 255])
def test_an_image_without_contrast_has_no_object(found, color):
    finder = SEGMENTERS["unsupervised"].finished(SETTINGS, found[1], TAXONOMY, None)
    (prediction,) = finder.predict([np.full((50, 70, 3), color, np.uint8)])
    assert (prediction.ids == TAXONOMY.at_leaf_level().nodes.index("background")).all()


def test_an_object_is_less_connected_to_the_border_than_its_background():
    pixels, mask = scene(1)
    regions = find_regions(working_image(pixels))
    inside = working_image(np.repeat(mask[..., None] * np.uint8(255), 3, 2))[..., 0] > 128
    of_object = np.bincount(regions.labels.ravel(), inside.ravel()) > 0.5 * np.bincount(
        regions.labels.ravel()
    )
    connected = boundary_connectivity(regions)
    assert connected[of_object].max() < 1 < np.median(connected[~of_object])
    salient = saliency(regions, contrast(regions))
    assert salient[of_object].min() > salient[~of_object].max()


def test_superpixels_cover_the_image_once():
    regions = find_regions(working_image(scene(2)[0]))
    assert set(np.unique(regions.labels)) == set(range(len(regions)))
    assert regions.areas.sum() == pytest.approx(1)
    assert regions.border.sum() == pytest.approx(1)
    assert (regions.pairs[:, 0] < regions.pairs[:, 1]).all()
    middle = (regions.areas[:, None] * regions.places).sum(0)
    assert middle == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("leaves", "background", "problem"),
    [
        (["object", "background", "sky"], None, "3 leaves, not two"),
        (["cat", "room"], None, "say which of the leaves cat and room"),
        (["cat", "room"], "rom", "did you mean 'room'"),
        (["cat", "room"], "room", None),
        (["cat", "rest"], None, None),
    ],
)
def test_what_lies_behind_must_be_known(leaves, background, problem):
    taxonomy = Taxonomy("t", {leaf: (leaf,) for leaf in leaves}, {"image": tuple(leaves)})
    settings = UnsupervisedSegmentation(kind="unsupervised", background=background)
    said = [message for _, message in SEGMENTERS["unsupervised"].problems(settings, taxonomy)]
    assert len(said) == (problem is not None)
    assert all(problem in message for message in said)


def test_an_outline_that_is_off_moves_to_the_edge():
    pixels, truth = scene(3)
    off = np.roll(truth, (4, -3), axis=(0, 1)) * 0.6 + 0.2
    found = outlined(pixels, off) > 0.5
    assert iou(off > 0.5, truth) < 0.85
    assert iou(found, truth) > 0.95


@pytest.mark.parametrize("objectness", [0.2, 0.8])
def test_without_an_outline_nothing_moves(objectness):
    pixels, _ = scene(3)
    given = np.full((SIZE, SIZE), objectness)
    assert (outlined(pixels, given) == given).all()


def test_a_thin_object_keeps_its_outline():
    pixels, _ = scene(3)
    given = np.zeros((SIZE, SIZE))
    given[:, 40:44] = 0.9
    assert (outlined(pixels, given) == given).all()
