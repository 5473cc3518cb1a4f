"""Segments by words: overlaps, the rest, refusals, and the stage with a tiny checkpoint."""

import json
import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny_prompted
import torch

from heml.compute.checkpoints import CheckpointError
from heml.compute.progress import silent
from heml.recombination.judging.resegment import find_segmenter
from heml.segmentation.prompting.boxes_to_masks import BoxesToMasks
from heml.segmentation.prompting.checkpoint import PromptCheckpoint, find_prompt_checkpoint
from heml.segmentation.prompting.family import Boxes, Found, working_size
from heml.segmentation.prompting.load import load_prompted
from heml.segmentation.prompting.overlaps import LeafScores, assign, same_pixels
from heml.segmentation.prompting.predictor import PromptedSegmenter
from heml.segmentation.segmenter import SegmentationContext
from heml.segmentation.segmenters.prompted import PromptedSegmentation, leaf_depths
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.storage.run_context import RunContext
from heml.taxonomy import Taxonomy
from pipelines.recipe.model import RecipeError, load_recipe

LEAVES = ["bird", "beak", "water", "background"]
BIRDS = Taxonomy(
    "birds",
    {leaf: (leaf,) for leaf in LEAVES},
    {"animal": ("bird", "beak"), "image": ("animal", "water", "background")},
)


def claim(leaf, row, score):
    scores = np.array([row], np.float32) * score
    return LeafScores(leaf, scores, scores > 0)


def segmenter(finder, prompts=None, rest="background", threshold=0.5):
    prompts = prompts or {leaf: [leaf] for leaf in LEAVES[:3]}
    return PromptedSegmenter(
        finder, prompts, rest, LEAVES, leaf_depths(BIRDS), threshold, "toy", None,
        torch.device("cpu"),
    )  # fmt: skip


class Rows:
    """Finds for each prompt a fixed row of scores, in every image."""

    def __init__(self, rows):
        self.rows, self.asked = rows, []

    def find(self, images, prompts, threshold):
        self.asked.append(len(prompts))
        for image in range(len(images)):
            for number, prompt in enumerate(prompts):
                if prompt in self.rows:
                    yield Found(image, number, torch.tensor([self.rows[prompt]]))


# --- overlaps -----------------------------------------------------------------------------------


def test_parts_are_seen_before_wholes():
    found = [claim(0, [1, 1, 1, 0], 0.9), claim(1, [1, 0, 0, 0], 0.4)]
    ids, confidence = assign(found, [2, 2, 1, 1], (1, 4), rest=3)
    assert ids.tolist() == [[1, 0, 0, 3]]
    assert confidence == pytest.approx({0: 0.9, 1: 0.4, 3: 1.0})


def test_what_lies_deeper_in_the_tree_is_seen_before_what_is_smaller():
    found = [claim(0, [1, 1, 1, 0], 0.5), claim(2, [0, 0, 1, 1], 0.9)]
    ids, _ = assign(found, [2, 2, 1, 1], (1, 4))
    assert ids.tolist() == [[0, 0, 0, 2]]
    ids, _ = assign(found, [1, 1, 1, 1], (1, 4))
    assert ids.tolist() == [[0, 0, 2, 2]]


def test_of_leaves_with_the_same_pixels_the_surest_keeps_them():
    twenty = [1] * 20
    found = [claim(0, twenty, 0.6), claim(1, [0] + twenty[1:], 0.8), claim(2, twenty, 0.6)]
    assert same_pixels(found) == [(1, 0), (1, 2)]
    ids, confidence = assign(found, [2, 2, 1, 1], (1, 20), rest=3)
    assert ids.tolist() == [[3] + [1] * 19]
    assert confidence == pytest.approx({1: 0.8, 3: 1.0})


def test_nothing_is_claimed_where_nothing_is_found_and_no_rest_is_named():
    ids, confidence = assign([], [1], (2, 3))
    assert (ids == 255).all()
    assert confidence == {}


def test_words_of_one_leaf_are_joined_and_the_rest_knows_how_near_words_came():
    rows = {"sparrow": [0.9, 0.1, 0.2, 0.0], "finch": [0.0, 0.7, 0.4, 0.0]}
    (prediction,) = segmenter(Rows(rows), {"bird": ["sparrow", "finch"]}).predict(
        [np.zeros((1, 4, 3), np.uint8)]
    )
    assert prediction.ids.tolist() == [[0, 0, 3, 3]]
    assert prediction.confidence == pytest.approx({0: 0.8, 3: (0.6 + 1.0) / 2})


def test_words_of_a_leaf_agree_by_their_pixels():
    rows = {
        "sparrow": [0.9, 0.9, 0.1, 0.0],
        "finch": [0.0, 0.7, 0.8, 0.0],
        "pond": [0.0, 0.0, 0.0, 0.9],
        "lake": [0.0, 0.0, 0.0, 0.6],
        "beak": [0.9, 0.0, 0.0, 0.0],
        "hawk": [0.2, 0.1, 0.1, 0.1],
    }
    prompts = {"bird": ["sparrow", "finch", "hawk"], "beak": ["beak"], "water": ["pond", "lake"]}
    (prediction,) = segmenter(Rows(rows), prompts).predict([np.zeros((1, 4, 3), np.uint8)])
    # sparrow and finch share one of three pixels; neither agrees with hawk, which finds nothing
    assert prediction.word_agreement == pytest.approx({0: 1 / 9, 2: 1.0})
    (nothing,) = segmenter(Rows({}), prompts).predict([np.zeros((1, 4, 3), np.uint8)])
    assert nothing.word_agreement == {}


def test_pixels_of_words_are_compared_coarsely_in_large_images():
    from heml.segmentation.prompting.word_agreement import WordAgreement

    agreement = WordAgreement([4, 4, 7])
    whole = torch.zeros(600, 1000, dtype=torch.bool)
    whole[:, :500] = True
    half = whole.clone()
    half[300:] = False
    for word, claimed in enumerate((whole, half, whole)):
        agreement.add(word, claimed)
    assert agreement.by_leaf() == pytest.approx({4: 0.5}, abs=0.02)


def test_a_prompt_that_finds_nothing_has_no_segment():
    (prediction,) = segmenter(Rows({"bird": [0.9, 0.0]})).predict([np.zeros((1, 2, 3), np.uint8)])
    assert prediction.ids.tolist() == [[0, 3]]
    assert set(prediction.confidence) == {0, 3}


def test_large_images_are_worked_on_smaller_and_segmented_whole():
    image = np.zeros((4000, 1000, 3), np.uint8)
    height, width = working_size(image)
    assert height * width <= 1_050_000
    assert working_size(np.zeros((1, 1, 3))) == (1, 1)

    class Upper:
        def find(self, images, prompts, threshold):
            scores = torch.zeros(height, width)
            scores[: height // 2] = 0.75
            yield Found(0, 0, scores)

    (prediction,) = segmenter(Upper()).predict([image])
    assert prediction.ids.shape == (4000, 1000)
    assert (prediction.ids[:1990] == 0).all()
    assert (prediction.ids[2010:] == 3).all()


# --- boxes and masks ----------------------------------------------------------------------------


class Two:
    def boxes(self, images, prompts, threshold):
        corners = torch.tensor([[0.0, 0, 2, 1], [-5, 0, 9, 1], [3, 0, 4, 1]])
        return [Boxes(corners, torch.tensor([0.9, 0.6, 0.8]), torch.tensor([1, 0, 1]))]


class Filled:
    """The mask of a box is the box."""

    def masks(self, image, corners):
        for left, _, right, _ in corners.tolist():
            mask = torch.zeros(1, 1, 4, dtype=torch.bool)
            mask[..., int(left) : int(right)] = True
            yield mask


def test_pixels_have_the_score_of_their_best_box():
    found = BoxesToMasks(Two(), Filled()).find([np.zeros((1, 4, 3), np.uint8)], ["a", "b"], 0.5)
    scores = {each.prompt: each.scores[0].tolist() for each in found}
    assert scores == {0: pytest.approx([0.6] * 4), 1: pytest.approx([0.9, 0.9, 0.0, 0.8])}


def test_only_the_best_boxes_get_masks(monkeypatch):
    monkeypatch.setattr(BoxesToMasks, "most_boxes", 2)
    found = BoxesToMasks(Two(), Filled()).find([np.zeros((1, 4, 3), np.uint8)], ["a", "b"], 0.5)
    assert {each.prompt for each in found} == {1}


# --- checkpoints --------------------------------------------------------------------------------


def load(folder, masks=None, prompts=None, threshold=None, licence=None):
    checkpoints = [p and find_prompt_checkpoint(str(p), folder) for p in (folder, masks)]
    prompts = prompts or {leaf: [leaf] for leaf in LEAVES[:3]}
    return load_prompted(
        *checkpoints, prompts, "background", LEAVES, leaf_depths(BIRDS), threshold, licence, "cpu"
    )


@pytest.fixture(scope="module")
def clipseg(tmp_path_factory):
    torch.manual_seed(0)
    return tiny_prompted.clipseg(tmp_path_factory.mktemp("clipseg"))


def test_names_and_licences_of_both_checkpoints_are_told(tmp_path):
    torch.manual_seed(0)
    boxes, masks = tmp_path / "boxes", tmp_path / "masks"
    boxes.mkdir()
    masks.mkdir()
    tiny_prompted.owlv2(boxes)
    tiny_prompted.sam(masks)
    (masks / "README.md").write_text("---\nlicense: mit\n---\n")
    found = load(boxes, masks)
    assert (found.name, found.licence) == ("boxes + masks", "apache-2.0 + mit")
    assert load(boxes, masks, licence="mine").licence == "mine"
    (masks / "README.md").unlink()
    assert load(boxes, masks).licence is None
    with pytest.raises(CheckpointError, match=r"owlv2 gives boxes.*segmentation\.masks.*sam2"):
        load(boxes)
    with pytest.raises(CheckpointError, match=r"segmentation\.masks: .*of the kind 'owlv2'"):
        load(boxes, boxes)
    assert PromptCheckpoint("owner/name", "0123456789abcdef").name == "owner/name@0123456789ab"


def test_checkpoints_of_other_kinds_are_refused_with_the_families(tmp_path, clipseg):
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="no JSON object"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="names no model_type"):
        load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "segformer"}))
    families = r"sam3 \(sam3 or sam3_video\), grounding_dino .*, clipseg .*, owlv2"
    with pytest.raises(CheckpointError, match=rf"of the kind 'segformer'; .*{families}"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="clipseg gives masks itself; remove the key"):
        load(clipseg, clipseg)


def test_weights_that_can_run_code_are_refused(tmp_path):
    folder = tiny_prompted.clipseg(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin.*no safetensors.*convert"):
        load(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"checkpoint .*name a folder with config\.json"):
        load(folder)


def test_everything_is_loaded_from_the_revision_that_was_found(monkeypatch):
    seen = []

    class Model:
        @staticmethod
        def from_pretrained(place, **options):
            seen.append((place, options))
            raise OSError("no network")

    with pytest.raises(CheckpointError, match="checkpoint owner/name: no network"):
        PromptCheckpoint("owner/name", "abc").model(Model)
    ((place, options),) = seen
    assert (place, options["revision"]) == ("owner/name", "abc")
    assert options["use_safetensors"] is True
    assert options["trust_remote_code"] is False


def test_a_prompt_longer_than_the_network_reads_is_refused(clipseg):
    image = [np.zeros((8, 8, 3), np.uint8)]
    with pytest.raises(
        CheckpointError, match=r"'bird bird .*tokens long.*reads 16; write a shorter"
    ):
        load(clipseg, prompts={"bird": ["bird " * 40]}).predict(image)


def test_a_caption_that_is_too_long_becomes_several(tmp_path):
    torch.manual_seed(0)
    boxes, masks = tmp_path / "boxes", tmp_path / "masks"
    boxes.mkdir()
    masks.mkdir()
    found = load(tiny_prompted.grounding_dino(boxes), tiny_prompted.sam(masks))
    finder = found._finder._finder
    many = ["bird", "beak of the bird.", "water"] * 20
    captions = list(finder._captions(many))
    assert len(captions) > 1
    assert [first for first, *_ in captions] == sorted({first for first, *_ in captions})
    assert sum(len(places) for *_, places in captions) == len(many)
    assert all(len(text["input_ids"][0]) <= 32 for _, text, _ in captions)
    (boxes,) = finder.boxes([np.zeros((64, 64, 3), np.uint8)], many, 0.0)
    assert set(boxes.prompts.tolist()) == set(range(len(many)))
    with pytest.raises(CheckpointError, match="tokens long"):
        finder.boxes([np.zeros((8, 8, 3), np.uint8)], ["bird " * 40], 0.0)


def test_a_thousand_prompts_are_asked_in_parts(clipseg, monkeypatch):
    many = {"bird": [f"bird {n}" for n in range(1000)]}
    found = load(clipseg, prompts=many, threshold=0.3)
    sizes = []
    decoder = found._finder._model.decoder
    real = decoder.forward
    monkeypatch.setattr(
        decoder, "forward", lambda a, b, **k: sizes.append(len(b)) or real(a, b, **k)
    )
    (prediction,) = found.predict([np.zeros((16, 16, 3), np.uint8)])
    assert sum(sizes) == 1000
    assert max(sizes) <= 16
    assert set(np.unique(prediction.ids)) <= {0, 3}


# --- the recipe and the stage -------------------------------------------------------------------

RECIPE = """
name: birds
source: {{kind: folder, root: data, label: label, attributes: [tone]}}
segmentation: {segmentation}
taxonomy:
  leaves: {{bird: [bird], water: [water], background: [background]}}
  tree: {{image: [bird, water, background]}}
  ignored: [shape, void]
"""


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("{bird: bird, water: water}", r"prompts: leaf 'background' has no words"),
        ("{brid: b, bird: b, water: w, background: rest}", r"prompts\.brid: no such leaf; did you"),
        ("{bird: b, water: rest, background: rest}", "'water' is the rest already"),
        ("{bird: ' ', water: w, background: rest}", "must not be empty"),
        ("{}", "prompts"),
    ],
)
def test_prompts_that_do_not_fit_are_refused_when_the_recipe_loads(tmp_path, prompts, message):
    path = tmp_path / "birds.yaml"
    path.write_text(
        RECIPE.format(segmentation=f"{{kind: prompted, checkpoint: weights, prompts: {prompts}}}")
    )
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)


def test_more_leaves_than_can_be_stored_are_refused(tmp_path):
    leaves = [f"leaf_{n}" for n in range(1000)]
    recipe = {
        "name": "many",
        "source": {"kind": "folder", "root": "data", "label": "label"},
        "segmentation": {
            "kind": "prompted",
            "checkpoint": "weights",
            "prompts": {leaf: leaf for leaf in leaves},
        },
        "taxonomy": {"leaves": {leaf: [leaf] for leaf in leaves}, "tree": {"image": leaves}},
    }
    path = tmp_path / "many.yaml"
    path.write_text(json.dumps(recipe))
    with pytest.raises(RecipeError, match="1000 leaves, at most 255 are possible"):
        load_recipe(path)


def test_the_stage_writes_what_words_find(dataset, store, taxonomy, tmp_path, clipseg):
    dataset.good(6)
    dataset.write()
    prompts = "{bird: bird, water: [water, the water], background: rest}"
    path = tmp_path / "birds.yaml"
    path.write_text(
        RECIPE.format(
            segmentation=f"{{kind: prompted, checkpoint: {clipseg}, prompts: {prompts}, "
            "threshold: 0.52, batch_size: 4}"
        )
    )
    recipe = load_recipe(path)
    settings = recipe.settings.segmentation
    assert isinstance(settings, PromptedSegmentation)
    ingest(store, dataset.settings(), dataset.root, taxonomy, False, silent)
    outcome = segment(RunContext(store, recipe.source_taxonomy), settings, base=tmp_path)
    rows = pq.read_table(store.segments).to_pylist()
    assert outcome.summary["segmenter"] == clipseg.name
    assert {row["segmenter_licence"] for row in rows} == {"apache-2.0"}
    assert {row["class_name"] for row in rows} <= {"bird", "water", "background"}
    assert sum(row["area"] for row in rows) >= 0.99 * 6 * 16 * 24
    assert all(0 <= row["confidence"] <= 1 for row in rows)
    resegment = find_segmenter(store, settings, recipe.source_taxonomy, tmp_path)
    (found,) = resegment([np.full((16, 24, 3), 128, np.uint8)])
    assert set(found) <= {"bird", "water", "background"}
    job = recipe.segmenter.job(
        settings, SegmentationContext(store, recipe.source_taxonomy, {}, tmp_path, "k", silent)
    )
    assert pickle.loads(pickle.dumps(job.make))()  # other processes load it for themselves
    other, lines = settings.model_copy(update={"threshold": 0.999}), []
    again = segment(
        RunContext(store, recipe.source_taxonomy, progress=lines.append), other, tmp_path
    )
    assert again.summary["segmented"] == 6
    assert again.summary["presence"] == {"bird": 0, "water": 0, "background": 1}
    assert "segments: found in no image: bird, water" in lines
