"""The tree from a notebook: images of every form, exact sums, and refusals that say what to do."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from heml.metrics.distance import DISTANCES
from heml.metrics.node_network import new_network
from heml.taxonomy import Taxonomy
from heml.tree.explanation import pair_distances
from heml.tree.metric_tree import Embedded, MetricTree, read_taxonomy
from heml.tree.similarity import Calibration, Similarity
from heml.tree.tree_error import TreeError

CLASSES = {0: "background", 1: "face", 2: "hat", 255: "void"}
TAXONOMY = Taxonomy(
    "small",
    {"background": ("background",), "face": ("face",), "hat": ("hat",), "scarf": ("scarf",)},
    {"head": ("face", "hat"), "image": ("background", "head", "scarf")},
    ignored=("void",),
)
UNTRAINED = "scarf"
NODES = TAXONOMY.nodes


def drawn(number: int, hat: bool) -> tuple[np.ndarray, np.ndarray]:
    """Noise, and ids of a face with or without a hat."""
    pixels = np.random.default_rng(number).integers(0, 256, (20, 16, 3), np.uint8)
    ids = np.zeros((20, 16), np.uint8)
    ids[6:14, 4:12] = 1
    ids[19] = 255
    if hat:
        ids[2:6, 5:11] = 2
    return pixels, ids


@pytest.fixture(scope="module")
def tree() -> MetricTree:
    """Eight train images, every other with a hat, embedded by networks as they are initialized."""
    images = [drawn(number, hat=number % 2 == 0) for number in range(8)]
    rng = np.random.default_rng(0)

    def similarity() -> Similarity:
        return Similarity(tuple(NODES), rng.random(len(NODES)), rng.random(len(NODES)), 1.0)

    bare = MetricTree(
        TAXONOMY,
        dict.fromkeys(NODES, 8),
        dict.fromkeys(NODES, 0.3),
        {node: new_network(16, seed) for seed, node in enumerate(NODES) if node != UNTRAINED},
        {"plain": similarity(), "debiased": similarity()},
        Embedded({n: np.zeros((0, 16), np.float32) for n in NODES},
                 {n: np.zeros(0, bool) for n in NODES}),
        [{"image_id": f"image-{n}", "label": "ab"[n // 4], "tone": "light"} for n in range(8)],
        3,
        CLASSES,
        {node: Calibration(0.3, 0.2, 0.1, 0.3, 40) for node in NODES},
    )  # fmt: skip
    bare.references = bare.embed(images)
    return bare


@pytest.fixture(scope="module")
def saved(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "metric_tree"
    tree.save(folder)
    return folder


def states(explanation):
    return {node.node: node.state for node in explanation.nodes}


@pytest.mark.parametrize("which", ["plain", "debiased"])
def test_contributions_sum_exactly_to_the_total_and_to_the_distance(tree, which):
    for a in range(4):
        for b in range(4, 8):
            first, second = f"image-{a}", drawn(b, hat=b % 2 == 0)
            explained = tree.explain(first, second)
            total = sum(node.contributions[which] for node in explained.nodes)
            assert total == explained.totals[which] == tree.distance(first, second, which)
            assert all(node.contributions[which] >= 0 for node in explained.nodes)


def test_one_pair_and_all_pairs_agree(tree):
    some = tree.references.rows([0, 1, 2])
    table = tree.total_distances(some, tree.references, "plain")
    assert table[1, 5] == pytest.approx(tree.distance("image-1", "image-5", "plain"), abs=1e-5)


@pytest.mark.parametrize("own", ["image-0", drawn(21, hat=True), drawn(22, hat=False)])
def test_self_comparison_is_exactly_0_at_every_node(tree, own):
    explained = tree.explain(own, own)
    assert explained.totals == {"plain": 0.0, "debiased": 0.0}
    for node in explained.nodes:
        assert node.distance in (0.0, None)
        assert node.forward in (0.0, None)
        assert set(node.contributions.values()) == {0.0}


def test_pair_distances_follow_the_definition():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=32), rng.normal(2, 3, size=32)
    snr = DISTANCES["snr"]
    forward, backward, bounded = pair_distances(snr, a, b)
    assert forward == pytest.approx(np.var(a - b) / np.var(a))
    assert backward == pytest.approx(np.var(a - b) / np.var(b))
    assert bounded == pytest.approx(np.var(a - b) / (np.std(a) + np.std(b)) ** 2)
    assert pair_distances(snr, a, -a)[2] == pytest.approx(1)
    assert np.isfinite(pair_distances(snr, a, np.ones(32))).all()


def test_presence_of_a_node_has_five_states(tree):
    worn, bare = drawn(1, hat=True), drawn(2, hat=False)
    assert states(tree.explain(worn, drawn(3, hat=True)))["hat"] == "compared"
    assert states(tree.explain(worn, bare))["hat"] == "absent in the second"
    assert states(tree.explain(bare, worn))["hat"] == "absent in the first"
    assert states(tree.explain(bare, drawn(4, hat=False)))["hat"] == "absent in both"
    scarf = {"scarf": np.ones((20, 16), bool)}
    assert states(tree.explain((bare[0], scarf), (worn[0], scarf)))["scarf"] == "not trained"


def test_absence_in_one_costs_its_weight_and_absence_in_both_nothing(tree):
    worn, bare = drawn(1, hat=True), drawn(2, hat=False)
    weight = tree.similarities["debiased"].weights_of("hat")[1]
    assert tree.explain(worn, bare).node("hat").contributions["debiased"] == weight
    none = tree.explain(bare, drawn(3, hat=False)).node("hat")
    assert none.contributions["debiased"] == 0
    assert none.distance is none.similar is None


def test_every_form_of_an_image_is_the_same_image(tree):
    pixels, ids = drawn(11, hat=True)
    masks = {CLASSES[number]: ids == number for number in np.unique(ids)}
    forms = [
        (pixels, masks),
        (pixels, ids.astype(np.int64)),
        (Image.fromarray(pixels), Image.fromarray(ids)),
    ]
    for form in forms:
        assert tree.distance((pixels, ids), form) == 0
    gray = pixels[..., 0]
    assert tree.distance((gray, ids), (np.repeat(gray[..., None], 3, axis=2), ids)) == 0


def test_ids_and_new_images_mix_in_any_order(tree):
    new = drawn(0, hat=True)  # what image-0 is
    labels = tree.classify([new, "image-5", new, "image-1"])
    assert labels[0] == labels[2]
    assert labels[1] == tree.classify(["image-5"])[0]
    assert labels[3] == tree.classify(["image-1"])[0]
    assert tree.classify([]) == []


def test_a_train_image_has_no_vote_on_itself(tree):
    single = MetricTree(
        TAXONOMY, tree.resolutions, tree.thresholds, tree.networks, tree.similarities,
        tree.references, [{**r, "label": f"only {r['image_id']}"} for r in tree.index], 1,
    )  # fmt: skip
    assert single.classify(["image-3"]) != ["only image-3"]
    pixels, ids = drawn(3, hat=False)
    masks = {CLASSES[number]: ids == number for number in np.unique(ids)}
    assert single.classify([(pixels, masks)]) == ["only image-3"]  # a new image has them all


def test_many_images_vote_as_each_alone_does(tree, monkeypatch):
    ids = [record["image_id"] for record in tree.index]
    alone = [tree.votes([i], without=[[i]])[1][0] for i in ids]
    monkeypatch.setattr("heml.tree.metric_tree._DISTANCES", 3 * len(ids))  # parts of three
    np.testing.assert_array_equal(tree.votes(ids, without=[[i] for i in ids])[1], alone)


def test_nearest_leaves_itself_out_and_finds_its_copy(tree):
    assert tree.nearest(drawn(6, hat=True), k=1)[0][0] == "image-6"
    others = tree.nearest("image-6", k=100)
    assert len(others) == 7
    assert "image-6" not in [image_id for image_id, _ in others]
    assert [d for _, d in others] == sorted(d for _, d in others)


def test_nearest_at_a_node_gives_only_images_that_have_it(tree):
    found = tree.nearest("image-0", k=8, node="hat")
    assert {image_id for image_id, _ in found} == {"image-2", "image-4", "image-6"}


def test_tree_loads_in_a_fresh_process(tree, saved):
    program = (
        "import sys; from heml.tree.metric_tree import MetricTree; "
        "tree = MetricTree.load(sys.argv[1]); "
        "print(tree.distance('image-1', 'image-6'), tree.nearest('image-2', 2))"
    )
    command = [sys.executable, "-c", program, str(saved)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    again = f"{tree.distance('image-1', 'image-6')} {tree.nearest('image-2', 2)}\n"
    assert said == again
    assert sorted(p.suffix for p in saved.iterdir()) == [
        ".json", ".parquet", ".safetensors", ".safetensors",
    ]  # fmt: skip


def test_loaded_tree_knows_class_ids_calibration_and_taxonomy(tree, saved):
    loaded = MetricTree.load(saved.parent, TAXONOMY)  # the store's folder does too
    assert loaded.classes == CLASSES
    assert loaded.calibration == tree.calibration
    assert read_taxonomy(saved) == TAXONOMY
    new = drawn(30, hat=True)
    assert loaded.explain(new, "image-1") == tree.explain(new, "image-1")


def test_a_tree_of_another_taxonomy_is_refused(saved):
    other = Taxonomy("other", {"face": ("face",)}, {"image": ("face",)})
    with pytest.raises(TreeError, match=r"taxonomy 'small', not 'other' .*alone: background"):
        MetricTree.load(saved, other)


def test_a_tree_of_another_version_is_refused(saved, tmp_path):
    content = json.loads((saved / "tree.json").read_text())
    for changed, words in (({"format": 99}, "format 99"), ({"format": None}, "format None")):
        (tmp_path / "tree.json").write_text(json.dumps(content | changed))
        with pytest.raises(TreeError, match=f"{words}.*run the metric_tree stage again"):
            MetricTree.load(tmp_path)


def test_a_folder_without_a_tree_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the metric_tree stage first"):
        MetricTree.load(tmp_path)


PIXELS, IDS = drawn(0, hat=True)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda t: t.explain("image-1", "imag-2"), "'imag-2' is not a train image.*'image-2'"),
        (lambda t: t.nearest("image-1", 3, node="hatt"), "no node 'hatt'; did you mean 'hat'"),
        (lambda t: t.classify(["image-1"], node="faec"), "no node 'faec'; did you mean 'face'"),
        (lambda t: t.embed([(PIXELS, IDS)], ["faec"]), "no node 'faec'"),
        (lambda t: t.distance("image-1", "image-2", "plian"), "'plian'; did you mean 'plain'"),
        (lambda t: t.votes(["image-1"], "tones"), "no column 'tones'; did you mean 'tone'"),
        (lambda t: t.nearest("image-1", 0), "k must be at least 1, got 0"),
        (lambda t: t.nearest("image-1", 2, node="hat"), "the image has no 'hat'"),
        (lambda t: t.nearest("image-1", 2, node="scarf"), "'scarf' is not trained"),
        (lambda t: t.classify("image-1"), "expected a list of images"),
        (lambda t: t.classify([PIXELS]), r"must be a train image's id or \(image, segments\)"),
        (lambda t: t.classify([(PIXELS / 255, IDS)]), "must be uint8 from 0 to 255, found float64"),
        (lambda t: t.classify([(PIXELS[..., :2], IDS)]), r"must be \(H, W, 3\)"),
        (lambda t: t.classify([("a.png", IDS)]), "PIL image, found str"),
        (lambda t: t.classify([(PIXELS, IDS[:9])]), "is 16 × 9, the image 16 × 20"),
        (lambda t: t.classify([(PIXELS, IDS + 7)]), "unknown class id 6; known: 0 background"),
        (lambda t: t.classify([(PIXELS, IDS / 2)]), "whole numbers"),
        (lambda t: t.classify([(PIXELS, {"hta": IDS > 0})]), "no class 'hta'; did you mean 'hat'"),
        (lambda t: t.classify([(PIXELS, {"hat": IDS})]), "'hat' must be bool"),
    ],
)
def test_what_is_wrong_is_said(tree, ask, words):
    with pytest.raises(TreeError, match=words):
        ask(tree)


def test_masks_of_ids_need_a_class_list(tree):
    bare = MetricTree(
        TAXONOMY, tree.resolutions, tree.thresholds, tree.networks, tree.similarities,
        tree.references, tree.index, 3,
    )  # fmt: skip
    with pytest.raises(TreeError, match="knows no class ids"):
        bare.classify([(PIXELS, IDS)])


def test_an_image_without_any_segment_is_absent_everywhere(tree):
    void = np.full((20, 16), 255, np.uint8)
    explained = tree.explain((PIXELS, void), "image-0")
    assert states(explained)["image"] == "absent in the first"
    assert np.isfinite(list(explained.totals.values())).all()
