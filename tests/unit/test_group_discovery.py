"""Attributes found where no column gives one: clusters, candidates, and which one is chosen."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from data_contracts import DISCOVERED_GROUPS, DISCOVERED_NODES
from heml.bias.bias_settings import BiasSettings
from heml.bias.clusters import find_clusters
from heml.bias.discovery_candidates import candidates
from heml.bias.group_discovery import NothingDiscovered, discover_groups, rank_candidates
from heml.bias.label_guess import LabelGuess, guess_labels, votes_of_all
from heml.bias.leaf_appearance import SIZE, describe
from heml.bias.misleading import Witnesses, judge
from heml.bias.simulation import simulated_index, simulated_node
from heml.bias.vote_weights import cross_fitted, fit_votes
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

QUICK = BiasSettings(resamples=50, permutations=499)
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


def test_a_description_begins_with_the_mean_color_in_lab():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = 255
    mask = np.ones((4, 4), bool)
    found = describe(image, mask)
    assert found.shape == (SIZE,)
    np.testing.assert_allclose(found[:3], [50, 0, 0], atol=0.1)
    red = np.tile(np.array([255, 0, 0], np.uint8), (4, 4, 1))
    np.testing.assert_allclose(describe(red, mask)[:3], [53.24, 80.09, 67.20], atol=0.1)


def test_a_description_tells_size_place_and_shape():
    image = np.full((40, 20, 3), 90, np.uint8)
    upper, lower = np.zeros((40, 20), bool), np.zeros((40, 20), bool)
    upper[:10] = True
    lower[30:, ::2] = True
    first, second = describe(image, upper), describe(image, lower)
    assert np.exp(first[6]) == pytest.approx(0.25)
    assert np.exp(second[6]) == pytest.approx(0.125)
    assert first[7] == pytest.approx(4.5 / 40)
    assert second[7] == pytest.approx(34.5 / 40)
    np.testing.assert_allclose(first[9:11], [0.25, 1])
    shapes = slice(11, 11 + (SIZE - 11) // 2)
    assert (first[shapes] == 1).all()
    assert second[shapes].mean() == pytest.approx(0.5, abs=0.1)


def test_a_segment_of_one_pixel_is_described():
    mask = np.zeros((300, 300), bool)
    mask[7, 11] = True
    assert np.isfinite(describe(np.zeros((300, 300, 3), np.uint8), mask)).all()


# --- what a leaf looks like -----------------------------------------------------------------------


def test_weights_believe_the_voter_who_knows():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=300)
    knows, noise = np.eye(3)[labels] - 1 / 3, np.eye(3)[rng.integers(3, size=300)] - 1 / 3
    fitted = fit_votes(np.stack([knows, noise], axis=1), labels, np.ones(300))
    assert fitted.weights[0] > 10 * fitted.weights[1] >= 0
    assert (fitted.probabilities(np.stack([knows, noise], 1)).argmax(axis=1) == labels).all()


def test_weights_are_fitted_without_the_record():
    """A voter that knows the records of one fold alone is not believed there."""
    labels, fold = np.arange(60) % 2, np.arange(60) // 20
    votes = np.where(fold[:, None] == 0, np.eye(2)[labels] - 0.5, np.eye(2)[1 - labels] - 0.5)
    found = cross_fitted(votes[:, None], labels, fold, np.ones(60))
    assert np.allclose(found[fold == 0], 0.5, atol=0.01)


def test_guesses_follow_what_metric_and_appearance_show():
    index = simulated_index({("a", "x"): 60, ("b", "x"): 60}, ["tone"])
    labels = np.unique(index["label"], return_inverse=True)[1]
    node = simulated_node(index, {"label": 4.0}, seed=1)
    appearance = np.random.default_rng(2).normal(size=(120, 5))
    appearance[:, 0] += 4 * labels
    appearance[:10] = np.nan
    votes = votes_of_all(node, labels, 2, 10)
    both = guess_labels(votes, appearance, labels, node.fold)
    seen = np.arange(120) >= 10
    assert (both.probabilities.argmax(axis=1) == labels)[seen].mean() > 0.95
    assert (both.by_appearance.argmax(axis=1) == labels)[seen].mean() > 0.9
    assert (both.probabilities[:10] == 0.5).all()
    none = guess_labels(np.zeros((120, 2)), appearance, labels, node.fold)
    assert (none.probabilities.argmax(axis=1) == labels)[seen].mean() > 0.9


def test_images_without_a_fold_get_guesses_and_tell_nothing():
    index = simulated_index({("a", "x"): 60, ("b", "x"): 60}, ["tone"])
    labels = np.unique(index["label"], return_inverse=True)[1]
    node = simulated_node(index, {"label": 4.0}, seed=1)
    held = np.arange(120) % 4 == 0
    node.index["fold"] = np.where(held, -1, node.fold)
    appearance = labels[:, None] * 4 + np.random.default_rng(2).normal(size=(120, 5))

    def guessed(known):
        votes = votes_of_all(node, known, 2, 10)
        np.testing.assert_allclose(votes.sum(axis=1), 1)
        return guess_labels(votes, appearance, known, node.fold).probabilities

    first = guessed(labels)
    assert (first.argmax(axis=1) == labels)[held].mean() > 0.95
    np.testing.assert_array_equal(first, guessed(np.where(held, 1 - labels, labels)))


@pytest.mark.parametrize("few", [0, 1, 2])
def test_labels_with_hardly_a_record_are_no_obstacle(few):
    labels = np.r_[np.zeros(30, int), np.ones(few, int)]
    appearance = np.random.default_rng(0).normal(size=(len(labels), 4))
    found = guess_labels(np.zeros((len(labels), 2)), appearance, labels, np.arange(len(labels)) % 3)
    assert np.isfinite(found.probabilities).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)


# --- candidates -----------------------------------------------------------------------------------


def appearances(colors: np.ndarray) -> np.ndarray:
    return np.concatenate([colors, np.zeros((len(colors), SIZE - 3))], axis=1)


def test_values_are_named_and_absence_has_none():
    points, truth = blobs([[20, 0, 0], [80, 0, 0]], 120)
    points[:12] = np.nan
    index = pd.DataFrame({"image_id": [f"i{n}" for n in range(120)], "split": "train"})
    index.loc[100:, "split"] = "test"
    ids, train = index["image_id"].to_numpy(object), (index["split"] == "train").to_numpy()
    fold = np.where(train, np.arange(120) % 3, -1)
    sure = np.eye(2)[truth] * 0.8 + 0.1
    found = list(candidates("hat", appearances(points), sure, ["cat", "dog"], index, fold, QUICK))
    guess, color, presence = found
    assert [c.aspect for c in found] == ["guess", "color", "presence"]
    assert {c.attribute for c in found} == {"discovered.hat"}
    for candidate in (guess, color):
        assert (candidate.values[:12] == MISSING).all()
        assert adjusted_rand_score(truth[12:], candidate.values[12:]) == 1
        for name, exemplars in zip(candidate.names, candidate.exemplars(ids, train), strict=True):
            rows = [int(image_id[1:]) for image_id in exemplars]
            assert (candidate.values[rows] == name).all()
            assert train[rows].all()
    assert set(guess.names) == {"as usual for cat", "as usual for dog"}
    assert color.names == [f"like {own[0]}" for own in color.exemplars(ids, train)]
    assert presence.names == ["present", "absent"]
    assert presence.values.tolist() == ["absent"] * 12 + ["present"] * 108


def test_a_leaf_that_all_images_have_gives_no_presence_attribute():
    points, truth = blobs([[20, 0, 0], [80, 0, 0]], 100)
    index = pd.DataFrame({"image_id": [str(n) for n in range(100)], "split": "train"})
    fold = np.arange(100) % 3
    found = candidates(
        "skin", appearances(points), np.eye(2)[truth], ["a", "b"], index, fold, QUICK
    )
    assert [candidate.aspect for candidate in found] == ["guess", "color"]


def test_a_leaf_that_hardly_any_image_has_gives_none():
    points, truth = blobs([[20, 0, 0], [80, 0, 0]], 200)
    points[4:] = np.nan
    index = pd.DataFrame({"image_id": [str(n) for n in range(200)], "split": "train"})
    fold = np.arange(200) % 3
    known = appearances(points)
    assert not list(candidates("hat", known, np.eye(2)[truth], ["a", "b"], index, fold, QUICK))


# --- evidence -------------------------------------------------------------------------------------

LABELS = np.arange(240) % 2
FOLD = np.arange(240) // 2 % 3


def conflicting(count: int) -> np.ndarray:
    """An attribute that conflicts with so many labels, spread over labels and folds."""
    return np.where(np.arange(240) < count, 1 - LABELS, LABELS)


def asked(
    shown: Mapping[str, np.ndarray], whole: np.ndarray, present: Mapping[str, np.ndarray] = {}
) -> Witnesses:
    """Witnesses whose leaves look like the labels given, for certain; only the mouth, which shows
    the label itself, is unsure where it is wrong."""
    guesses = {}
    for leaf, looks in shown.items():
        unsure = (leaf == "mouth") & (looks != LABELS)
        sure = np.eye(2)[looks] * np.where(unsure, 0.2, 0.9)[:, None]
        sure += (1 - sure.sum(axis=1, keepdims=True)) / 2
        guesses[leaf] = LabelGuess(sure, sure)
    everywhere = np.ones(len(LABELS), bool)
    there = {leaf: present.get(leaf, everywhere) for leaf in shown}
    return Witnesses(LABELS, FOLD, guesses, there, whole)


def noise(seed: int, share: float = 0.5) -> np.ndarray:
    """The label, but for a share of random records where it is drawn."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(LABELS)) < share, rng.integers(2, size=len(LABELS)), LABELS)


def ranked(witnesses: Witnesses, splits: Mapping[tuple[str, str], np.ndarray]) -> pd.DataFrame:
    results = {key: judge(witnesses, key[0], codes) for key, codes in splits.items()}
    return rank_candidates(results, QUICK)


def guessed(witnesses: Witnesses) -> dict[tuple[str, str], np.ndarray]:
    return {
        (leaf, "guess"): guess.probabilities.argmax(axis=1)
        for leaf, guess in witnesses.leaves.items()
    }


def test_the_leaf_that_misleads_comes_before_one_that_clusters_without_harm():
    hair, mouth, clothes = conflicting(10), noise(1, 0.2), noise(2, 1.0)
    witnesses = asked({"clothes": clothes, "hair": hair, "mouth": mouth}, whole=hair)
    # Clothes come in two colors, cleanly; they have nothing to do with label or error.
    found = ranked(witnesses, {**guessed(witnesses), ("clothes", "color"): clothes})
    assert found["node"].tolist()[0] == "hair"
    assert found["misleading"].tolist() == [True, False, False]
    row = found.iloc[0]
    assert row["misled_whole"] > 0.8
    assert row["others"] > 0.6
    assert row["first_without_fold"] == 1


def test_the_label_itself_is_no_bias():
    """All that the models know they know from the mouth, so its mistakes are theirs."""
    mouth = noise(1, 0.2)
    witnesses = asked({"hair": noise(2, 1.0), "mouth": mouth, "nose": noise(3, 1.0)}, whole=mouth)
    judged = judge(witnesses, "mouth", mouth)
    assert judged.measures()["misled"] > 0.6
    assert judged.measures()["others"] < 0.3
    assert not ranked(witnesses, guessed(witnesses))["misleading"].any()


def test_what_never_conflicts_with_the_label_is_not_judged():
    witnesses = asked({"mouth": LABELS, "hair": conflicting(3)}, whole=LABELS)
    assert judge(witnesses, "mouth", LABELS) is None
    assert judge(witnesses, "hair", conflicting(3)) is None
    found = ranked(witnesses, guessed(witnesses))
    assert not found["misleading"].any()
    assert (found["evidence"] == 0).all()


def test_what_fools_nobody_but_its_own_models_does_no_harm():
    hair = conflicting(10)
    witnesses = asked({"hair": hair, "mouth": LABELS}, whole=LABELS)
    found = ranked(witnesses, guessed(witnesses)).iloc[0]
    assert found["node"] == "hair"
    assert not found["misleading"]


def test_a_part_of_the_label_is_no_bias():
    """Dresses are worn in half of the photos of one label, and in none of the other."""
    dress = (LABELS == 1) & (np.arange(240) % 4 < 2)
    witnesses = asked({"dress": dress.astype(int), "legs": noise(1, 0.2)}, whole=LABELS)
    assert judge(witnesses, "dress", dress.astype(int)) is None


def test_two_that_mislead_are_both_told():
    first = conflicting(12)
    second = np.where(np.arange(240) >= 230, 1 - LABELS, LABELS)
    witnesses = asked({"hair": first, "wall": second, "mouth": noise(1, 0.05)}, whole=first)
    found = ranked(witnesses, guessed(witnesses)).set_index("node")
    assert found.loc["hair", "misleading"]
    assert found.loc["hair", "rank"] == 1
    assert found.loc["wall", "evidence"] > found.loc["mouth", "evidence"]


def test_a_set_without_a_bias_has_no_finding():
    found = 0
    for seed in range(20):
        mouth = noise(seed, 0.2)
        shown = {"mouth": mouth, **{f"leaf{n}": noise(1000 * n + seed, 1.0) for n in (1, 2, 3)}}
        witnesses = asked(shown, whole=mouth)
        found += ranked(witnesses, guessed(witnesses))["misleading"].any()
    assert found <= 1


def test_q_values_count_all_candidates():
    witnesses = asked({"hair": conflicting(10), "mouth": noise(1, 0.1)}, whole=conflicting(10))
    few = ranked(witnesses, guessed(witnesses))
    idle = {("mouth", f"{n}"): noise(n, 1.0) for n in range(10)}
    many = ranked(witnesses, {**guessed(witnesses), **idle})
    q = [frame.set_index("node").loc["hair", "q"] for frame in (few, many)]
    assert q[1] > q[0]


def test_records_without_the_leaf_are_left_out():
    hair = conflicting(10)
    shown = np.arange(240) % 5 > 0
    codes = np.where(shown, hair, -1)
    witnesses = asked({"hair": hair, "mouth": noise(1, 0.1)}, whole=hair, present={"hair": shown})
    judged = judge(witnesses, "hair", codes)
    assert len(judged.labels) == shown.sum()
    assert sum(cell["n"] for cell in judged.errors("whole")) == shown.sum()
    assert judge(witnesses, "hair", np.full(240, -1)) is None


def test_a_leaf_that_one_label_alone_shows_in_most_folds_is_judged():
    hair = conflicting(10)
    shown = (LABELS == 0) | ((FOLD == 0) & (np.arange(240) < 120))
    hair[LABELS == 1] = np.arange(120) % 2
    witnesses = asked({"hair": hair, "mouth": noise(1, 0.2)}, whole=hair, present={"hair": shown})
    found = ranked(witnesses, {("hair", "guess"): np.where(shown, hair, -1)})
    assert found["node"].tolist() == ["hair"]
    assert np.isfinite(found["evidence"]).all()


def test_error_rates_of_groups_have_intervals():
    hair = conflicting(10)
    judged = judge(asked({"hair": hair, "mouth": LABELS}, whole=hair), "hair", hair)
    cells = {(cell["label"], cell["code"]): cell for cell in judged.errors("whole")}
    assert cells[0, 0]["rate"] == 0
    assert cells[0, 1] | {"low": 0, "high": 0} == {
        "label": 0, "code": 1, "n": 5, "rate": 1.0, "low": 0, "high": 0,
    }  # fmt: skip
    assert 0.5 < cells[0, 1]["low"] < 0.6


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
    carriers["image"] = attribute
    for number, name in enumerate(TAXONOMY.nodes):
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
    first = nodes.iloc[0]
    assert first["chosen"]
    assert first["misleading"]
    assert sum(first["group_n"]) == first["n"]
    assert outcome.summary["sure"]
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
    store = planted[0]
    monkeypatch.setattr(
        "heml.bias.group_discovery.leaf_appearances",
        lambda run, count: {leaf: np.full((count, SIZE), np.nan) for leaf in LEAVES},
    )
    other = BiasSettings(seed=9)  # so that an earlier result is not kept
    with pytest.raises(NothingDiscovered, match="name attributes"):
        discover_groups(RunContext(store, TAXONOMY), MetricSettings(), other)


def test_one_label_is_said(planted, monkeypatch):
    index = image_index(planted[0], []).assign(label="serious")
    monkeypatch.setattr("heml.bias.group_discovery.image_index", lambda store, columns: index)
    with pytest.raises(NothingDiscovered, match="all train images have the label 'serious'"):
        discover_groups(RunContext(planted[0], TAXONOMY), MetricSettings(), BiasSettings(seed=8))
