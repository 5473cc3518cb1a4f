"""A distance of one file ranks everywhere: in training, votes, thresholds and explanations."""

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError
from toy_registration import HOWS, toy_part

from heml.bias.accuracy_gap import out_of_fold_votes
from heml.compute.progress import silent
from heml.metrics.artifacts import load_node
from heml.metrics.distance import DISTANCES
from heml.metrics.level import train_level
from heml.metrics.metric_settings import MetricSettings
from heml.recombination.judging.limits import distribution_limit
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.tree.metric_tree import MetricTree
from heml.tree.tree_stage import fit_tree

TOY = '''
"""How far apart two images are in the first dimension alone."""

from heml.metrics.distance import Distance


class FirstDimension(Distance):
    name = "toy"
    rank = 9
    description = "difference in the first dimension"
    symbol = "d_1"

    def pairwise(self, a, b):
        return (a[:, None, 0] - b[None, :, 0]).abs()

    def rowwise(self, a, b):
        return (a[:, 0] - b[:, 0]).abs()


PART = FirstDimension()
'''


def settings(distance: str) -> MetricSettings:
    sides = {"leaf": 8, "branch": 8, "root": 8}
    content = {"epochs": 2, "embedding": 8, "batch_size": 16, "folds": 2, "neighbors": 3}
    return MetricSettings.model_validate({**content, "resolution": sides, "distance": distance})


@pytest.fixture
def segmented(dataset, store, taxonomy) -> Store:
    dataset.good(32)
    dataset.write()
    ingest(store, dataset.settings(), dataset.root, taxonomy, True, silent)
    segment(RunContext(store, taxonomy), AnnotatedSegmentation())
    return store


def finished(store, taxonomy, distance: str) -> MetricTree:
    for level in taxonomy.levels:
        list(train_level(RunContext(store, taxonomy, ("tone",)), level, settings(distance)))
    fit_tree(RunContext(store, taxonomy, ("tone",)), settings(distance))
    return MetricTree.load(store.metric_tree)


def bounded(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What the toy says of all pairs."""
    difference = np.abs(a[:, None, 0] - b[None, :, 0])
    return difference / (1 + difference)


@pytest.mark.parametrize("how", HOWS)
def test_a_toy_distance_ranks_from_training_to_explanation(
    segmented, taxonomy, how, tmp_path, monkeypatch
):
    snr_tree = finished(segmented, taxonomy, "snr")
    snr_node = load_node(segmented, "shape")
    with toy_part(DISTANCES, "toy", TOY, how, tmp_path, monkeypatch):
        schema = MetricSettings.model_json_schema()
        assert "toy" in schema["properties"]["distance"]["enum"]
        tree, node = finished(segmented, taxonomy, "toy"), load_node(segmented, "shape")
        # Trained by it, known by the node, evaluated out of fold by it.
        assert node.report["learning_curve"] != snr_node.report["learning_curve"]
        assert node.distance.name == tree.distance_of("shape").name == "toy"
        fold, train = 0, node.fold >= 0
        asked, known = np.flatnonzero(node.fold == fold), np.flatnonzero(train & (node.fold != 0))
        labels = np.arange(len(node.index)) % 2
        vectors = node.cross_fitted[fold]
        nearest = bounded(vectors[asked], vectors[known]).argmin(axis=1)
        votes = out_of_fold_votes(node, labels, k=1)
        assert (votes[asked].argmax(axis=1) == labels[known][nearest]).all()
        assert distribution_limit(node, labels, 3).value <= 1
        # Votes, similarities and explanations of the tree.
        own = tree.references
        measured = tree.node_distances("shape", own, own).distance
        expected = bounded(own.vectors["shape"], own.vectors["shape"])
        np.testing.assert_allclose(measured, expected, atol=1e-6)
        explained = tree.explain(tree.index[0]["image_id"], tree.index[1]["image_id"])
        first, second = own.vectors["shape"][:2, 0].astype(float)
        said = explained.node("shape")
        assert said.forward == said.backward == pytest.approx(abs(first - second))
        assert said.distance == pytest.approx(expected[0, 1], abs=1e-6)
        assert explained.totals != snr_tree.explain(*(r["image_id"] for r in tree.index[:2])).totals
    with pytest.raises(ValidationError, match="'toy' is unknown; use one of: cosine, euclidean"):
        settings("toy")


def test_every_distance_is_0_for_equal_rows_and_bounded():
    import torch

    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.normal(size=(6, 8)).astype(np.float32)) for _ in range(2))
    for distance in DISTANCES:
        raw, form = distance.pairwise(a, b), distance.bounded_pairwise(a, b)
        torch.testing.assert_close(raw.diagonal(), distance.rowwise(a, b))
        torch.testing.assert_close(form.diagonal(), distance.bounded_rowwise(a, b))
        torch.testing.assert_close(form, distance.bounded_pairwise(b, a).T)
        assert ((form >= 0) & (form <= 1)).all()
        assert distance.rowwise(a, a).tolist() == distance.bounded_rowwise(a, a).tolist() == [0] * 6
        nothing = torch.zeros(2, 8)
        assert distance.bounded_pairwise(nothing, nothing).tolist() == [[0, 0], [0, 0]]


def test_distances_and_losses_are_known_without_torch():
    program = (
        "import sys; from heml.metrics.metric_settings import MetricSettings; "
        "from heml.metrics.distance import DISTANCES; from heml.metrics.loss import LOSSES; "
        "MetricSettings(loss='proxy_anchor', distance='cosine'); "
        "print([p.description for r in (DISTANCES, LOSSES) for p in r] and 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout == "False\n", said.stderr
