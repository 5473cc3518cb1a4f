"""A source that grows: new images are embedded by the networks there are, until they drift."""

import numpy as np
import pyarrow.parquet as pq
import pytest

import heml.metrics.level_update
from heml.compute.progress import silent
from heml.images.images_table import image_index
from heml.metrics.artifacts import load_node, node_folder
from heml.metrics.level import train_level
from heml.metrics.metric_settings import MetricSettings, Resolution
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.storage.run_context import RunContext
from heml.taxonomy import Taxonomy

TAXONOMY = Taxonomy(
    "shapes",
    {"background": ("background",), "shape": ("shape",)},
    {"image": ("background", "shape")},
    ignored=("void",),
)
SMALL = MetricSettings(
    epochs=1, batch_size=16, embedding=4, resolution=Resolution(leaf=8, branch=8, root=8)
)


@pytest.fixture
def grow(dataset, store):
    """Adds images and brings everything up to date; node → summary."""

    def grown(count, settings=SMALL, **images):
        for _ in range(count):
            dataset.row(**{name: make() for name, make in images.items()})
        dataset.write()
        ingest(
            store, dataset.settings(near_duplicates="keep"), dataset.root, TAXONOMY, True, silent
        )
        segment(RunContext(store, TAXONOMY), AnnotatedSegmentation())
        return {
            node: outcome
            for level in TAXONOMY.levels
            for node, outcome in train_level(
                RunContext(store, TAXONOMY, ("tone",)), level, settings
            )
        }

    return grown


@pytest.fixture
def trained(monkeypatch):
    """Names of nodes whose networks are trained."""
    names = []

    class Noted(heml.metrics.level_update.NodeTraining):
        def __init__(self, node, *rest):
            names.append(node)
            super().__init__(node, *rest)

    monkeypatch.setattr(heml.metrics.level_update, "NodeTraining", Noted)
    return names


def weights(store):
    return {
        node: (node_folder(store, node) / "weights.safetensors").read_bytes()
        for node in TAXONOMY.nodes
    }


def test_new_images_are_embedded_and_nothing_is_trained(grow, store, trained):
    grow(80)
    before, first = weights(store), load_node(store, "shape")
    trained.clear()
    outcomes = grow(8)
    assert trained == []
    assert weights(store) == before
    now = load_node(store, "shape")
    assert len(now.index) == 88
    assert (now.embeddings[:80] == first.embeddings).all()
    assert (now.cross_fitted[:, :80] == first.cross_fitted).all()
    assert (now.fold[:80] == first.fold).all()
    assert now.embeddings[80:].any()
    summary = outcomes["shape"].summary
    assert summary["new_images"] == 8
    assert summary["not_learned_from"] == 4
    assert summary["drift"] is None


def test_drift_counts_all_images_since_training(grow, trained):
    grow(200)
    trained.clear()
    first = grow(32)["shape"].summary
    assert first["drift"] is None
    second = grow(32)["shape"].summary
    assert (second["new_images"], second["not_learned_from"]) == (32, 32)
    assert 0 <= second["drift_low"] <= second["drift"] <= second["drift_high"] <= 1


def test_new_train_images_are_spread_over_the_folds(grow, store):
    grow(80)
    grow(24)
    index = load_node(store, "image").index
    groups = image_index(store, ["tone"]).set_index("image_id")
    train = index[index["split"] == "train"].join(groups[["label", "tone"]], on="image_id")
    for _, group in train.groupby(["label", "tone"]):
        counts = np.bincount(group["fold"], minlength=3)
        assert counts.max() - counts.min() <= 1
    assert np.ptp(np.bincount(train["fold"])) <= 1
    assert (index.loc[index["split"] != "train", "fold"] == -1).all()


def test_unchanged_source_is_kept_after_growth(grow, trained):
    grow(80)
    grow(8)
    trained.clear()
    assert all(outcome.reused for outcome in grow(0).values())
    assert trained == []


def test_drifting_node_trains_again_and_so_does_what_rests_on_it(grow, store, trained, monkeypatch):
    grow(80)
    trained.clear()
    real = heml.metrics.level_update.extend

    def shifted(grown, *rest):
        metric = real(grown, *rest)
        if metric.node == "shape":
            metric.report.update(drift=0.9, drift_low=0.6, drift_high=0.99)
        return metric

    monkeypatch.setattr(heml.metrics.level_update, "extend", shifted)
    before = weights(store)
    grow(8)
    assert trained == ["shape", "image"]
    assert weights(store)["background"] == before["background"]
    assert load_node(store, "shape").fold.tolist() == load_node(store, "background").fold.tolist()


def test_images_unlike_all_others_are_drift(grow, store):
    """Black shapes among noise: the networks have seen no such thing."""
    grow(160)
    black = np.zeros((16, 24, 3), np.uint8)
    numbers = iter(range(1, 250))

    def flat():
        from conftest import png

        pixels = black.copy()
        pixels[0, 0] = next(numbers)
        return png(pixels)

    outcomes = grow(40, SMALL.model_copy(update={"retrain": "never"}), image=flat)
    assert max(outcome.summary["drift"] for outcome in outcomes.values()) > 0.3


def test_growth_beyond_the_limit_trains_again(grow, trained):
    grow(80)
    trained.clear()
    grow(48)
    assert set(trained) == set(TAXONOMY.nodes)


@pytest.mark.parametrize("retrain", ["always", "never"])
def test_recipe_says_when_to_train(grow, trained, retrain):
    settings = SMALL.model_copy(update={"retrain": retrain})
    grow(80, settings)
    trained.clear()
    grow(48, settings)
    assert set(trained) == (set(TAXONOMY.nodes) if retrain == "always" else set())


def test_image_that_was_learned_from_and_is_gone_trains_again(grow, dataset, trained):
    grow(80)
    trained.clear()
    del dataset.rows[0]
    grow(8)
    assert set(trained) == set(TAXONOMY.nodes)


def test_image_that_nothing_learned_from_may_go(grow, store, dataset, trained):
    grow(80)
    before = weights(store)
    trained.clear()
    gone = max(number for number, row in enumerate(dataset.rows) if row["split"] == "test")
    del dataset.rows[gone]
    summary = grow(0)["shape"].summary
    assert trained == []
    assert weights(store) == before
    assert summary["new_images"] == 0
    assert len(load_node(store, "shape").index) == 79


def test_always_is_what_a_fresh_store_would_hold(grow, store, dataset, tmp_path):
    always = SMALL.model_copy(update={"retrain": "always"})
    grow(40, always)
    grow(40, always)
    grown = {node: load_node(store, node).embeddings for node in TAXONOMY.nodes}
    names = {node: store.fingerprint(f"metric/{node}") for node in TAXONOMY.nodes}
    fresh = type(store)(tmp_path / "fresh")
    ingest(fresh, dataset.settings(), dataset.root, TAXONOMY, True, silent)
    segment(RunContext(fresh, TAXONOMY), AnnotatedSegmentation())
    for level in TAXONOMY.levels:
        list(train_level(RunContext(fresh, TAXONOMY, ("tone",)), level, SMALL))
    assert names == {node: fresh.fingerprint(f"metric/{node}") for node in TAXONOMY.nodes}
    assert all((load_node(fresh, node).embeddings == grown[node]).all() for node in grown)


SAMPLED = SMALL.model_copy(update={"train_images": 100})


def others(store, node="shape"):
    path = node_folder(store, node) / "unsampled.parquet"
    return {row["image_id"]: row for row in pq.read_table(path).to_pylist()}


def test_sample_is_learned_from_and_all_images_are_embedded(grow, store):
    grow(400, SAMPLED)
    sample, rest = load_node(store, "shape").index, others(store)
    assert not set(sample["image_id"]) & set(rest)
    assert len(sample) + len(rest) == 400
    assert 96 <= (sample["split"] == "train").sum() <= 104
    assert all(len(row["embedding"]) == 4 and row["fold"] == -1 for row in rest.values())
    assert any(any(row["embedding"]) for row in rest.values())


def test_others_get_what_the_network_gives_the_sample(grow, store, monkeypatch):
    """The same images, in the sample and outside of it."""
    grow(400, SAMPLED)
    metric, rest = load_node(store, "shape"), others(store)
    from heml.metrics.network_training import embed
    from heml.metrics.views import node_view, union
    from heml.tree.image_records import Records

    records = Records(store.root)
    for image_id in list(rest)[:5]:
        pixels, masks = records[image_id]
        view = node_view(pixels, union(masks, ["shape"]), 8)
        expected = embed(metric.network(), view[None])[0]
        assert np.allclose(rest[image_id]["embedding"], expected, atol=1e-5)


def test_grown_sample_keeps_what_it_had(grow, store, trained, monkeypatch):
    grow(400, SAMPLED)
    sample, rest = load_node(store, "shape").index, others(store)
    trained.clear()
    made = []
    import heml.metrics.unsampled as module

    real = module._Embedder.__call__

    def noted(self, shard):
        made.append(sum(map(len, shard.wanted.values())))
        return real(self, shard)

    monkeypatch.setattr(module._Embedder, "__call__", noted)
    grow(40, SAMPLED)
    assert trained == []
    now, more = load_node(store, "shape").index, others(store)
    assert set(sample["image_id"]) <= set(now["image_id"])
    assert {i: more[i]["embedding"] for i in rest} == {i: rest[i]["embedding"] for i in rest}
    assert len(now) + len(more) == 440
    new = 440 - len(now) - len(rest)
    assert sum(made) == len(TAXONOMY.nodes) * new
