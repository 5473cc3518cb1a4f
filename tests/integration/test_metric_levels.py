"""Levels on odd inputs, with other labels and trunks, and killed in the middle."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

import heml.metrics.node_views
from heml.compute.progress import silent
from heml.images.groups import MISSING
from heml.metrics.artifacts import load_node, node_folder
from heml.metrics.labels import TooFewLabels, metric_labels
from heml.metrics.level import LevelError, train_level, train_levels
from heml.metrics.metric_settings import MetricSettings, Resolution
from heml.metrics.parallelism import networks_at_once
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy
from heml.tree.metric_tree import MetricTree
from heml.tree.tree_stage import fit_tree

SMALL = MetricSettings(
    epochs=2, embedding=8, batch_size=16, folds=2, resolution=Resolution(leaf=8, branch=8, root=8)
)


def stored(dataset, store: Store, taxonomy: Taxonomy, **changes) -> Store:
    dataset.write()
    ingest(store, dataset.settings(**changes), dataset.root, taxonomy, True, silent)
    segment(RunContext(store, taxonomy), AnnotatedSegmentation())
    return store


def train(store, taxonomy, settings=SMALL, nodes=None) -> dict[str, dict]:
    return {
        node: outcome.summary
        for level in taxonomy.levels
        for node, outcome in train_level(
            RunContext(store, taxonomy, ("tone",)),
            [n for n in level if n in (nodes or level)],
            settings,
        )
    }


def finite_tables(store: Store) -> None:
    """No NaN in any table or report of the metrics."""
    for path in store.root.glob("metric/**/*.parquet"):
        vectors = pq.read_table(path)["embedding"].combine_chunks().flatten().to_numpy()
        assert np.isfinite(vectors).all()
    for path in store.root.glob("metric/**/*.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)


def digests(store: Store) -> dict[str, bytes]:
    return {
        path.relative_to(store.root).as_posix(): path.read_bytes()
        for path in sorted(store.root.glob("metric/**/*"))
        if path.is_file()
    }


def test_fewer_images_than_a_batch(dataset, store, taxonomy):
    dataset.good(16)
    summaries = train(stored(dataset, store, taxonomy), taxonomy, MetricSettings(epochs=1))
    assert {s["state"] for s in summaries.values()} == {"trained"}
    assert all(s["train_images"] == 8 < 64 for s in summaries.values())
    finite_tables(store)


def test_images_whose_label_is_too_rare_to_learn_from_are_not_counted(dataset, store, taxonomy):
    dataset.good(16)
    dataset.row(split="train", label="rare")
    summaries = train(stored(dataset, store, taxonomy), taxonomy, nodes=["shape"])
    assert summaries["shape"]["train_images"] == 8


def test_one_label_value(dataset, store, taxonomy):
    for _ in range(16):
        dataset.row(brand="same")
    stored(dataset, store, taxonomy)
    with pytest.raises(TooFewLabels, match="brand: the train split has 1 different values, 1 of"):
        train(store, taxonomy, SMALL.model_copy(update={"labels": ["brand"]}))


def test_one_image_per_label(dataset, store, taxonomy):
    for number in range(16):
        dataset.row(label=f"person {number}")
    stored(dataset, store, taxonomy)
    with pytest.raises(TooFewLabels, match="8 different values, 0 of them on two or more"):
        train(store, taxonomy)


def test_a_node_that_no_image_has_is_a_state_of_its_own(dataset, store):
    taxonomy = Taxonomy(
        "test",
        {"background": ("background",), "shape": ("shape",), "hat": ("hat",)},
        {"worn": ("hat",), "image": ("background", "shape", "worn")},
        ignored=("void",),
    )
    dataset.good(24)
    summaries = train(stored(dataset, store, taxonomy), taxonomy)
    assert {n: s["state"] for n, s in summaries.items()} == {
        "background": "trained",
        "shape": "trained",
        "hat": "no image has it",
        "worn": "no image has it",
        "image": "trained",
    }
    assert not load_node(store, "hat").present.any()
    fit_tree(RunContext(store, taxonomy, ("tone",)), SMALL)
    tree = MetricTree.load(store.metric_tree)
    first, second = (record["image_id"] for record in tree.index[:2])
    states = {node.node: node.state for node in tree.explain(first, second).nodes}
    assert states["hat"] == "absent in both"
    assert np.isfinite(tree.distance(first, second))
    finite_tables(store)


def test_nan_pixels_never_get_this_far(dataset, store, taxonomy):
    import io

    from PIL import Image

    dataset.good(16)
    pixels = np.full((16, 24), np.nan, np.float32)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF")
    dataset.row(image=buffer.getvalue(), file_name="images/nan.tiff", split="train")
    stored(dataset, store, taxonomy)
    quarantined = pq.read_table(store.quarantine).to_pylist()
    assert [row["reason"] for row in quarantined] == ["not_an_image"]
    assert all(s["present_share"] == 1 for s in train(store, taxonomy).values())
    finite_tables(store)


def test_a_store_of_another_taxonomy(dataset, store, taxonomy):
    dataset.good(16)
    stored(dataset, store, taxonomy)
    other = Taxonomy("other", {"hair": ("hair",)}, {"image": ("hair",)})
    with pytest.raises(LevelError, match="taxonomy 'other'; the store holds background, shape"):
        list(train_level(RunContext(store, other, ("tone",)), ["hair"], SMALL))


def test_children_must_be_trained_under_the_same_settings(dataset, store, taxonomy):
    dataset.good(16)
    stored(dataset, store, taxonomy)
    with pytest.raises(LevelError, match="metric/image starts from metric/background"):
        list(train_level(RunContext(store, taxonomy, ("tone",)), ["image"], SMALL))
    train(store, taxonomy)
    changed = SMALL.model_copy(update={"margin": 0.3})
    with pytest.raises(LevelError, match="train metric/background first"):
        list(train_level(RunContext(store, taxonomy, ("tone",)), ["image"], changed))
    cold = changed.model_copy(update={"warm_start": False})
    assert [n for n, _ in train_level(RunContext(store, taxonomy, ("tone",)), ["image"], cold)]


def test_a_node_alone_has_the_bytes_of_a_node_among_others(dataset, store, taxonomy, tmp_path):
    dataset.good(32)
    stored(dataset, store, taxonomy)
    train(store, taxonomy)
    other = stored(dataset, Store(tmp_path / "other"), taxonomy)
    for node in ("shape", "background"):
        assert list(train_level(RunContext(other, taxonomy, ("tone",)), [node], SMALL))
    assert list(train_level(RunContext(other, taxonomy, ("tone",)), ["image"], SMALL))
    assert digests(other) == digests(store)


def test_how_many_train_at_once_changes_nothing(dataset, store, taxonomy, tmp_path):
    dataset.good(16)
    train(stored(dataset, store, taxonomy), taxonomy)
    alone = SMALL.model_copy(update={"parallel": 1})
    other = stored(dataset, Store(tmp_path / "other"), taxonomy)
    train(other, taxonomy, alone)
    assert digests(other) == digests(store)
    assert all(
        o.reused for _, o in train_level(RunContext(store, taxonomy, ("tone",)), ["shape"], alone)
    )


@pytest.mark.parametrize("side", [8, 32, 48, 64, 96])
def test_a_level_holds_a_third_of_a_whole_image_at_once(side):
    cpu = torch.device("cpu")
    count = networks_at_once(side, SMALL, cpu)
    assert count * side**2 <= 224**2 / 3
    assert count == 1 or (count + 1) * (side**2 + 400) > 224**2 / 4
    assert (
        networks_at_once(side, SMALL.model_copy(update={"parallel": 5}), torch.device("cpu")) == 5
    )
    # Two threads on Apple's accelerator end the process.
    assert networks_at_once(side, SMALL, torch.device("mps")) == 1


def test_labels_of_several_columns_agree_in_all():
    index = pd.DataFrame({"label": list("abaa"), "who": ["x", "x", "x", MISSING]})
    label, who, both = (metric_labels(index, c) for c in ([], ["who"], ["label", "who"]))
    assert label[0] == label[2] == label[3] != label[1]
    assert who[0] == who[1] == who[2] >= 0
    assert both[0] == both[2] != both[1]
    assert who[3] == both[3] == -1


def test_an_identity_column_as_label(dataset, store, taxonomy):
    for number in range(48):
        # A few unknown people are embedded, but not learned from.
        dataset.row(person="" if number % 12 == 0 else f"p{number % 6}")
    stored(dataset, store, taxonomy)
    summaries = train(store, taxonomy, SMALL.model_copy(update={"labels": ["person"]}))
    index = load_node(store, "image").index
    unknown = 4
    assert summaries["image"]["train_images"] == (index["split"] == "train").sum() - unknown
    assert summaries["image"]["evaluated"] > 0
    with pytest.raises(KeyError, match="no column 'persom'; did you mean 'person'"):
        train(store, taxonomy, SMALL.model_copy(update={"labels": ["persom"]}))


def test_several_attributes_as_label(dataset, store, taxonomy):
    dataset.good(48)
    stored(dataset, store, taxonomy)
    both = train(store, taxonomy, SMALL.model_copy(update={"labels": ["label", "tone"]}))
    assert both["shape"]["state"] == "trained"
    finite_tables(store)


def test_a_checkpoint_trains_a_whole_tree_that_loads_without_it(dataset, store, taxonomy, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ConvNextConfig(
        num_stages=2, patch_size=2, hidden_sizes=[4, 8], depths=[1, 1]
    )
    checkpoint = tmp_path / "checkpoint"
    transformers.ConvNextModel(config).save_pretrained(checkpoint)
    dataset.good(16)
    stored(dataset, store, taxonomy)
    settings = SMALL.model_copy(update={"trunk": str(checkpoint)})
    summaries = train(store, taxonomy, settings)
    assert summaries["image"]["warm_start"]
    fit_tree(RunContext(store, taxonomy, ("tone",)), settings)
    checkpoint.rename(tmp_path / "gone")
    tree = MetricTree.load(store.metric_tree)
    assert tree.networks["image"].architecture["backbone"]["config"]["model_type"] == "convnext"
    again = tree.networks["shape"].state_dict()
    kept = load_node(store, "shape").weights[0]
    assert all((again[name] == kept[name]).all() for name in kept)


def test_learning_curves_are_in_the_nodes_folder(dataset, store, taxonomy):
    dataset.good(16)
    lines: list[str] = []
    stored(dataset, store, taxonomy)
    list(train_level(RunContext(store, taxonomy, ("tone",), lines.append), ["shape"], SMALL))
    report = json.loads((node_folder(store, "shape") / "node.json").read_text())
    assert len(report["learning_curve"]) == SMALL.epochs
    assert [len(curve) for curve in report["learning_curves_of_folds"]] == [SMALL.epochs] * 2
    assert any(line.startswith("metric/shape: precision at 1") for line in lines)


@pytest.fixture
def decoded(monkeypatch):
    """One entry per image that was decoded for views."""
    calls = []
    real = heml.metrics.node_views.decode_image
    monkeypatch.setattr(
        heml.metrics.node_views, "decode_image", lambda data: calls.append(0) or real(data)
    )
    return calls


def test_all_levels_decode_every_image_once(dataset, store, taxonomy, tmp_path, decoded):
    dataset.good(16)
    run = RunContext(stored(dataset, store, taxonomy), taxonomy, ("tone",))
    assert all(not outcome.reused for _, outcome in train_levels(run, SMALL))
    assert len(decoded) == 16
    assert not store.node_views.exists()
    assert all(outcome.reused for _, outcome in train_levels(run, SMALL))
    assert len(decoded) == 16
    # A level that does not know of later ones leaves the same bytes.
    other = stored(dataset, Store(tmp_path / "other"), taxonomy)
    train(other, taxonomy)
    assert len(decoded) == 16 * (1 + len(taxonomy.levels))
    assert digests(other) == digests(store)


def test_views_of_other_images_are_not_taken(dataset, store, taxonomy, decoded):
    dataset.good(16)
    run = RunContext(stored(dataset, store, taxonomy), taxonomy, ("tone",))
    leaves, later = taxonomy.levels[0], taxonomy.levels[-1]
    list(train_level(run, leaves, SMALL, later))
    (before,) = store.node_views.iterdir()
    dataset.row(split="train")
    stored(dataset, store, taxonomy)
    list(train_level(run, leaves, SMALL.model_copy(update={"retrain": "always"}), later))
    (now,) = store.node_views.iterdir()
    assert now.name != before.name
    assert len(np.load(now)) == 17


def test_two_runs_at_once_leave_the_bytes_of_one(dataset, store, taxonomy, tmp_path):
    dataset.good(16)
    run = RunContext(stored(dataset, store, taxonomy), taxonomy, ("tone",))
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(lambda: list(train_levels(run, SMALL))) for _ in range(2)]
        outcomes = [outcome for each in runs for _, outcome in each.result()]
    assert sum(not outcome.reused for outcome in outcomes) == len(taxonomy.nodes)
    assert not store.node_views.exists()
    other = stored(dataset, Store(tmp_path / "other"), taxonomy)
    train(other, taxonomy)
    assert digests(other) == digests(store)


_LEVEL = """
import sys
from pathlib import Path
from heml.metrics.level import train_level
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from tests.integration.test_metric_levels import SMALL, WIDE

run = RunContext(Store(Path(sys.argv[1])), WIDE, ("tone",))
for node, _ in train_level(run, list(WIDE.leaves), SMALL, ["image"]):
    print(node, flush=True)
    if node == "shape":
        sys.stdin.read()  # killed here, with the level half done
"""

WIDE = Taxonomy(
    "wide",
    {"background": ("background",), "shape": ("shape",), "void": ("void",)},
    {"image": ("background", "shape", "void")},
)


def test_killed_in_the_middle_of_a_level_it_goes_on_where_it_was(dataset, store, tmp_path):
    dataset.good(16)
    stored(dataset, store, WIDE)
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", _LEVEL, str(store.root)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        done = [child.stdout.readline().strip(), child.stdout.readline().strip()]
        child.send_signal(signal.SIGKILL)
    assert done == ["background", "shape"]
    assert list(
        store.node_views.glob("void.*.npy")
    )  # the killed process could not clear its views away
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("weights.safetensors")}
    outcomes = {
        node: outcome.reused
        for node, outcome in train_level(
            RunContext(store, WIDE, ("tone",)), list(WIDE.leaves), SMALL
        )
    }
    assert outcomes == {"background": True, "shape": True, "void": False}
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert {path.name for path in store.root.rglob(".*")} == {".locks", ".verified"}
    assert [path.name.split(".")[0] for path in store.node_views.iterdir()] == ["image"]
    list(train_level(RunContext(store, WIDE, ("tone",)), ["image"], SMALL))
    assert not store.node_views.exists()
    whole = stored(dataset, Store(tmp_path / "whole"), WIDE)
    list(train_levels(RunContext(whole, WIDE, ("tone",)), SMALL))
    assert digests(whole) == digests(store)
