"""The whole method on a small portraits set, called directly: what every stage promises."""

import hashlib
import os
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest

from data_contracts import BIAS_SCORES, REBALANCED_DATASET, RECOMBINED_SAMPLES
from heml.bias.bias_stage import measure_bias
from heml.compute.progress import silent
from heml.dataset.dataset_stage import write_dataset
from heml.dataset.description import Description
from heml.effect.effect_settings import EffectSettings
from heml.effect.effect_stage import measure_effect
from heml.images.images_table import ImageReader, decode_image, image_index
from heml.metrics.level import train_level
from heml.metrics.metric_settings import MetricSettings, Resolution
from heml.recombination.plan.plan_stage import make_plan
from heml.recombination.rebalance_settings import RebalanceSettings
from heml.recombination.recombination_stage import recombine
from heml.segmentation.masks import SegmentReader
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layouts.portraits import PortraitsSource
from heml.storage.manifest import read_manifest
from heml.storage.run_context import RunContext
from heml.storage.store import DamagedStage, Store
from heml.taxonomy import Taxonomy
from heml.tree.metric_tree import MetricTree
from heml.tree.tree_stage import fit_tree

TAXONOMY = Taxonomy(
    "heads",
    {"hair": ("hair",), "mouth": ("mouth",), "hat": ("hat",)},
    {"head": ("hair", "mouth"), "image": ("head", "hat")},
    ignored=("background", "skin", "eyes", "brows", "nose", "neck", "clothes"),
)
SOURCE = PortraitsSource(kind="portraits", count=200, association=0.95, size=64)
METRIC = MetricSettings(epochs=4, resolution=Resolution(leaf=16, branch=24, root=32))
REBALANCE = RebalanceSettings(budget=0.5)
EFFECT = EffectSettings(seeds=1, size=32, steps=20)
LABEL, ATTRIBUTES = "mouth", ["hair_tone"]


def run_of(store: Store) -> RunContext:
    return RunContext(store, TAXONOMY, tuple(ATTRIBUTES))


def run_chain(folder: Path) -> Store:
    store = Store(folder)
    ingest(store, SOURCE, folder, TAXONOMY, True, silent)
    segment(RunContext(store, TAXONOMY), AnnotatedSegmentation())
    for level in TAXONOMY.levels:
        for _ in train_level(RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), level, METRIC):
            pass
    fit_tree(RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), METRIC)
    measure_bias(RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), LABEL, METRIC)
    run = run_of(store)
    make_plan(run, LABEL, REBALANCE)
    recombine(run, REBALANCE, METRIC)
    write_dataset(run, Description("small", LABEL), "recipe")
    measure_effect(RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), LABEL, EFFECT)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return run_chain(tmp_path_factory.mktemp("chain") / "first")


@pytest.fixture(scope="module")
def tree(store):
    return MetricTree.load(store.metric_tree)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.parquet"))
    }


def test_the_planted_segment_ranks_first(store):
    scores = pd.read_parquet(store.bias_scores)
    BIAS_SCORES.validate(scores)
    first = scores[(scores["kind"] == "leaf") & (scores["rank"] == 1)]
    assert first["node"].tolist() == ["hair"]
    assert first["attribute_auc"].iloc[0] > 0.9


def test_same_input_gives_the_same_bytes(store, tmp_path):
    assert digests(run_chain(tmp_path / "second").root) == digests(store.root)


def test_a_flipped_byte_is_noticed_in_every_file_and_made_again(store, tmp_path):
    """Of the same length and with the same time: by hash."""
    again = Store(shutil.copytree(store.root, tmp_path / "again"))
    stages = sorted(again.stages())
    before = digests(again.root)
    for stage in stages:
        assert again.damaged(stage) == []
        for name in read_manifest(again.root, stage).files:
            path = again.root / name
            content = bytearray(path.read_bytes())
            times = path.stat().st_atime_ns, path.stat().st_mtime_ns
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
            os.utime(path, ns=times)
            assert again.damaged(stage) == [name]
            with pytest.raises(DamagedStage, match=f"stage '{stage}': .* run the stage again"):
                again.fingerprint(stage)
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
    # And what is damaged is made again.
    for table in (again.images, again.bias_scores):
        path = next(table.glob("*.parquet")) if table.is_dir() else table
        path.write_bytes(path.read_bytes()[::-1])
    run_chain(again.root)
    assert digests(again.root) == before
    assert [name for stage in stages for name in again.damaged(stage)] == []


def test_processes_make_the_same_samples(store, tmp_path, monkeypatch):
    """The same bytes and the same limits of the gates, also where several processes judge."""
    again = Store(shutil.copytree(store.root, tmp_path / "again"))
    shutil.rmtree(again.recombined_samples)
    monkeypatch.setenv("HEML_PROCESSES", "2")
    alone = store.summary("recombined_samples")
    outcome = recombine(run_of(again), REBALANCE, METRIC)
    assert not outcome.reused
    assert digests(again.recombined_samples) == digests(store.recombined_samples)
    assert outcome.summary["gates"] == alone["gates"]
    assert any(name.startswith("seam_hidden/") for name in alone["gates"])


def test_nothing_temporary_is_left(store):
    # Locks are empty files that stay: the kernel gives them back.
    assert {path.name for path in store.root.rglob(".*")} == {".locks", ".verified"}


def test_contributions_sum_to_the_total(store, tree):
    ids = [record["image_id"] for record in tree.index[:6]]
    for a, b in pairwise(ids):
        explained = tree.explain(a, b)
        for which in ("plain", "debiased"):
            total = sum(node.contributions[which] for node in explained.nodes)
            assert total == pytest.approx(explained.totals[which])
            assert total == pytest.approx(tree.distance(a, b, which), rel=1e-6)
            assert all(node.contributions[which] >= 0 for node in explained.nodes)


def test_an_image_is_at_no_distance_from_itself(tree):
    own = tree.index[0]["image_id"]
    explained = tree.explain(own, own)
    assert explained.totals["debiased"] == pytest.approx(0, abs=1e-5)
    assert all(node.distance is None or node.distance < 1e-6 for node in explained.nodes)


def test_missing_segments_are_told_apart(tree):
    worn = tree.references.present["hat"]
    with_hat = tree.index[int(np.flatnonzero(worn)[0])]["image_id"]
    bare = [tree.index[int(i)]["image_id"] for i in np.flatnonzero(~worn)[:2]]

    def state(a, b):
        return {node.node: node.state for node in tree.explain(a, b).nodes}["hat"]

    assert state(with_hat, bare[0]) == "absent in the second"
    assert state(bare[0], with_hat) == "absent in the first"
    assert state(*bare) == "absent in both"


def test_tree_embeds_new_images_as_it_embedded_the_references(store, tree):
    own = tree.index[3]["image_id"]
    image = decode_image(ImageReader(store).rows([own], ["image"])[0]["image"]["bytes"])
    again = tree.embed([(image, SegmentReader(store).masks(own))])
    for node in TAXONOMY.nodes:
        np.testing.assert_allclose(
            again.vectors[node][0], tree.references.vectors[node][3], atol=1e-4
        )
    assert tree.nearest((image, SegmentReader(store).masks(own)), k=1, node="hair")[0][0] == own
    assert tree.classify([(image, SegmentReader(store).masks(own))])[0] in tree.labels


def test_samples_descend_from_train_and_say_why_they_were_refused(store):
    samples = ds.dataset(store.recombined_samples).to_table().to_pandas()
    RECOMBINED_SAMPLES.validate(samples.drop(columns=["image"]), columns=["accepted", "reason"])
    train = set(image_index(store, ATTRIBUTES).query("split == 'train'")["image_id"])
    assert set(samples["host_id"]) | set(samples["donor_id"]) <= train
    assert (samples["accepted"] == (samples["reason"] == "")).all()
    for row in samples.head(5).to_dict("records"):
        assert decode_image(row["image"]["bytes"]).shape == (row["height"], row["width"], 3)


def test_dataset_loads_with_datasets(store):
    from datasets import load_dataset

    cache = str(store.root.parent / "cache")
    loaded = load_dataset(str(store.rebalanced_dataset), cache_dir=cache)
    assert set(loaded) == {"train", "test"}
    row = loaded["train"][0]
    assert row["image"].size == (64, 64)
    assert loaded["train"].features[LABEL].int2str(row[LABEL]) in ("smiling", "serious")
    assert set(loaded["train"]["origin"]) == {"real", "recombined"}
    assert set(loaded["test"]["origin"]) == {"real"}


def test_dataset_keeps_every_real_row_and_its_bytes(store):
    written = ds.dataset(store.rebalanced_dataset / "data").to_table(
        columns=["image_id", "image", "origin"]
    )
    rows = written.to_pandas().set_index("image_id")
    reader = ImageReader(store)
    index = image_index(store, ATTRIBUTES)
    assert set(rows.index[rows["origin"] == "real"]) == set(index["image_id"])
    for image_id in index["image_id"].head(5):
        original = reader.rows([image_id], ["image"])[0]["image"]["bytes"]
        assert rows.loc[image_id, "image"]["bytes"] == original


def test_weights_make_groups_equal(store):
    rows = ds.dataset(sorted((store.rebalanced_dataset / "data").glob("train-*"))).to_table(
        columns=[LABEL, *ATTRIBUTES, "weight", "origin", "masks"]
    )
    REBALANCED_DATASET.check_version(rows.schema)
    masses = rows.to_pandas().groupby([LABEL, *ATTRIBUTES])["weight"].sum()
    np.testing.assert_allclose(masses, masses.iloc[0])


def test_everything_is_kept_when_run_again(store):
    outcomes = [
        outcome.reused
        for level in TAXONOMY.levels
        for _, outcome in train_level(RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), level, METRIC)
    ]
    assert outcomes == [True] * len(TAXONOMY.nodes)
    assert recombine(run_of(store), REBALANCE, METRIC).reused


def test_a_changed_leaf_retrains_itself_and_its_ancestors_only(store):
    finer = METRIC.model_copy(
        update={"resolution": METRIC.resolution.model_copy(update={"nodes": {"mouth": 20}})}
    )
    trained = {
        node
        for level in TAXONOMY.levels
        for node, outcome in train_level(
            RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), level, finer
        )
        if not outcome.reused
    }
    assert trained == {"mouth", "head", "image"}
    # And the way back costs nothing: artifacts are kept by fingerprint.
    for level in TAXONOMY.levels:
        for _, outcome in train_level(
            RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), level, METRIC
        ):
            assert outcome.reused
