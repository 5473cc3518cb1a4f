"""Attributes found where no column gives one: clusters, candidates, and which one is chosen."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.metrics import adjusted_rand_score

from data_contracts import DISCOVERED_GROUPS, DISCOVERED_NODES
from heml.bias.bias_settings import BiasSettings
from heml.bias.clusters import find_clusters
from heml.bias.group_discovery import (
    NothingDiscovered,
    candidates,
    choosing_half,
    discover_groups,
    rank_candidates,
)
from heml.bias.leaf_appearance import mean_color
from heml.bias.simulation import simulated_node
from heml.compute.progress import silent
from heml.images.groups import MISSING, attributes_in_use
from heml.images.images_table import image_index
from heml.metrics.artifacts import save_node
from heml.metrics.metric_settings import MetricSettings
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layouts.portraits import PortraitsSource
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

QUICK = BiasSettings(resamples=50, permutations=99)
LEAVES = {leaf: [leaf] for leaf in ("background", "hair", "mouth", "skin")}
IGNORED = ("eyes", "brows", "nose", "neck", "clothes", "hat")
TAXONOMY = Taxonomy("few", LEAVES, {"image": list(LEAVES)}, IGNORED)


def blobs(centers, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(len(centers), size=n)
    return np.asarray(centers, float)[truth] + rng.normal(size=(n, 3)), truth


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_as_many_clusters_as_there_are(k):
    points, truth = blobs(np.eye(5, 3)[:k] * 0 + np.random.default_rng(1).normal(size=(k, 3)) * 30,
                          300)  # fmt: skip
    found = find_clusters(points, np.arange(300) % 3, 5, seed=0)
    assert len(found.centers) == k
    assert adjusted_rand_score(truth, found.assign(points)) > 0.99
    assert (np.diff(np.bincount(found.assign(points))) <= 0).all()


def test_an_outlier_is_no_cluster():
    points, _ = blobs([[0, 0, 0]], 300)
    points[0] = 500
    found = find_clusters(points, np.arange(300) % 3, 5, seed=0)
    assert found is None or np.bincount(found.assign(points)).min() >= 6


def test_points_that_are_all_alike_have_no_clusters():
    assert find_clusters(np.ones((50, 3)), np.arange(50) % 3, 5, seed=0) is None
    assert find_clusters(np.zeros((0, 3)), np.zeros(0, int), 5, seed=0) is None


def test_mean_color_is_lab():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = 255
    mask = np.ones((4, 4), bool)
    np.testing.assert_allclose(mean_color(image, mask), [50, 0, 0], atol=0.1)
    red = np.tile(np.array([255, 0, 0], np.uint8), (4, 4, 1))
    np.testing.assert_allclose(mean_color(red, mask), [53.24, 80.09, 67.20], atol=0.1)


def test_values_are_named_by_exemplars_and_absence_has_no_color():
    points, truth = blobs([[20, 0, 0], [80, 0, 0]], 120)
    points[:12] = np.nan
    index = pd.DataFrame({"image_id": [f"i{n}" for n in range(120)], "split": "train"})
    index.loc[100:, "split"] = "test"
    fold = np.where(index["split"] == "train", np.arange(120) % 3, -1)
    color, presence = candidates("hat", points, index, fold, QUICK)
    assert (color.attribute, color.aspect, presence.aspect) == (
        "discovered.hat",
        "color",
        "presence",
    )
    assert (color.values[:12] == MISSING).all()
    assert adjusted_rand_score(truth[12:], color.values[12:]) == 1
    for name, exemplars in zip(color.names, color.exemplars, strict=True):
        assert name == f"like {exemplars[0]}"
        rows = [int(image_id[1:]) for image_id in exemplars]
        assert (color.values[rows] == name).all()
        assert (index["split"].iloc[rows] == "train").all()
    assert presence.names == ["present", "absent"]
    assert presence.values.tolist() == ["absent"] * 12 + ["present"] * 108


def test_a_leaf_that_all_images_have_gives_no_presence_attribute():
    points, _ = blobs([[20, 0, 0], [80, 0, 0]], 100)
    index = pd.DataFrame({"image_id": [str(n) for n in range(100)], "split": "train"})
    found = candidates("skin", points, index, np.arange(100) % 3, QUICK)
    assert [candidate.aspect for candidate in found] == ["color"]


def test_attributes_that_do_not_go_with_the_label_come_last():
    rows = pd.DataFrame(
        {
            "node": ["loud", "planted", "label"],
            "permutation_p": [0.9, 0.001, 0.001],
            "score_p": [0.01, 0.01, 0.9],
            "aspect": "color",
            "chosen_score": [0.9, 0.6, 0.0],
            "chosen_cramers_v": [0.0, 0.5, 0.99],
        }
    )
    ranked = rank_candidates(rows)
    assert ranked["node"].tolist() == ["planted", "label", "loud"]
    assert ranked["chosen"].tolist() == [True, False, False]


def test_q_values_count_the_candidates_that_were_not_chosen():
    rows = pd.DataFrame(
        {
            "node": ["hair", "hair"],
            "aspect": ["color", "presence"],
            "permutation_p": [0.03, 0.8],
            "score_p": [0.03, 0.8],
            "chosen_score": [0.5, 0.1],
            "chosen_cramers_v": [0.2, 0.1],
        }
    )
    ranked = rank_candidates(rows)
    assert ranked["aspect"].tolist() == ["color"]
    assert ranked["permutation_q"].tolist() == pytest.approx([0.06])
    assert not ranked["linked"].any()


def test_candidates_are_chosen_on_half_of_every_label_and_fold():
    index = pd.DataFrame({"label": list("aab") * 40, "split": ["train"] * 90 + ["test"] * 30})
    fold = np.where(np.arange(120) < 90, np.arange(120) % 2, -1)
    half = choosing_half(index, fold, seed=0)
    assert not half[90:].any()
    counts = index.assign(fold=fold, half=half)[:90].groupby(["label", "fold"])["half"].mean()
    assert counts.between(0.45, 0.55).all()
    assert (choosing_half(index, fold, seed=0) == half).all()
    assert (choosing_half(index, fold, seed=1) != half).any()


def test_pure_noise_is_seldom_called_associated():
    """Five leaves with two candidates each, over noise: at most 5% of the sets have a finding."""
    found, trials = 0, 200
    for seed in range(trials):
        p = np.random.default_rng(seed).uniform(size=10)
        score = np.random.default_rng(seed + trials).uniform(size=10)
        rows = pd.DataFrame(
            {
                "node": np.repeat(list("abcde"), 2),
                "aspect": ["color", "presence"] * 5,
                "permutation_p": p,
                "score_p": p,
                # What is associated by chance also scores by chance.
                "chosen_score": score / p,
                "chosen_cramers_v": 1 - p,
            }
        )
        found += rank_candidates(rows)["linked"].any()
    assert found <= binom.ppf(0.999, trials, 0.05)


# --- on portraits ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[("hair_tone", "hair"), ("background", "background")],
                ids=lambda pair: pair[0])  # fmt: skip
def planted(request, tmp_path_factory):
    """A store of portraits, and stored nodes that hold one attribute each, as metrics would."""
    attribute, leaf = request.param
    store = Store(tmp_path_factory.mktemp(attribute))
    source = PortraitsSource(
        kind="portraits",
        count=140,
        association=0.9,
        size=40,
        attributes=[],
        planted=attribute,
        seed=1,
    )
    ingest(store, source, store.root, TAXONOMY, True, silent)
    segment(RunContext(store, TAXONOMY), AnnotatedSegmentation())
    carriers = {leaf: attribute, "mouth": "mouth"}
    index = image_index(store, [attribute, "mouth"])
    for number, name in enumerate(TAXONOMY.leaves):
        held = {carriers[name]: 8.0} if name in carriers else {}
        node = simulated_node(index, held, seed=number, node=name)
        # The nodes of a store share their folds.
        fold = np.where(index["split"] == "train", np.arange(len(index)) % 3, -1)
        node.index["fold"] = fold.astype(np.int8)
        save_node(node, store.node(name) / "made")
        store.finish(f"metric/{name}", "made", {}, [store.node(name) / "made"])
    return store, attribute, leaf


def test_the_planted_attribute_is_recovered(planted):
    store, attribute, leaf = planted
    outcome = discover_groups(RunContext(store, TAXONOMY), MetricSettings(), QUICK)
    assert outcome.summary["attribute"] == f"discovered.{leaf}"
    assert attributes_in_use(store, []) == [f"discovered.{leaf}"]
    index = image_index(store, [attribute, f"discovered.{leaf}"])
    assert adjusted_rand_score(index[attribute], index[f"discovered.{leaf}"]) >= 0.8
    nodes = pd.read_parquet(store.discovered_nodes)
    assert set(nodes["node"]) == set(LEAVES)
    assert nodes.loc[nodes["chosen"], "score_low"].iloc[0] > 0
    DISCOVERED_NODES.validate(
        nodes, [c.name for c in DISCOVERED_NODES.columns if not str(c.type).startswith("list")]
    )
    attributes = pd.read_parquet(store.discovered_groups)
    DISCOVERED_GROUPS.validate(attributes)
    assert len(attributes) == len(LEAVES) * len(index)
    with pytest.raises(KeyError, match=r"no attribute 'discovered\.nose' was discovered"):
        image_index(store, ["discovered.nose"])
    assert discover_groups(RunContext(store, TAXONOMY), MetricSettings(), QUICK).reused


def test_nothing_to_discover_is_said(planted, monkeypatch):
    monkeypatch.setattr(
        "heml.bias.group_discovery.leaf_colors",
        lambda run, count: {leaf: np.ones((count, 3)) for leaf in LEAVES},
    )
    other = BiasSettings(seed=9)  # so that an earlier result is not kept
    with pytest.raises(NothingDiscovered, match="name attributes"):
        discover_groups(RunContext(planted[0], TAXONOMY), MetricSettings(), other)
