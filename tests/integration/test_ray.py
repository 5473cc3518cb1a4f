"""Stages on a local Ray cluster of two workers: the same bytes as on one machine."""

import hashlib
import os
import signal
from pathlib import Path

import pytest

from heml.bias.bias_settings import BiasSettings
from heml.bias.bias_stage import measure_bias
from heml.compute.cluster_map import RayError, cluster_map, connect
from heml.compute.processes import Job
from heml.compute.progress import silent
from heml.metrics.level import train_level
from heml.metrics.metric_settings import MetricSettings, Resolution
from heml.recombination.plan.plan_stage import make_plan
from heml.recombination.rebalance_settings import RebalanceSettings
from heml.recombination.recombination_stage import recombine
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layouts.portraits import PortraitsSource
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy
from heml.tree.tree_stage import fit_tree

ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
cluster_utils = pytest.importorskip("ray.cluster_utils")

# One cluster at a time: each has processes of its own for every core.
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("ray")]
ATTRIBUTES = ["hair_tone"]
TAXONOMY = Taxonomy(
    "heads",
    {"hair": ("hair",), "mouth": ("mouth",), "skin": ("skin",)},
    {"head": ("hair", "mouth", "skin")},
    ignored=("background", "hat", "eyes", "brows", "nose", "neck", "clothes"),
)
SOURCE = PortraitsSource(kind="portraits", count=200, size=32, association=0.9)
#: Some images are outside the sample, so embedding them is work for the cluster.
METRIC = MetricSettings(
    epochs=1, train_images=100, embedding=4, resolution=Resolution(leaf=8, branch=8, root=8)
)
BIAS = BiasSettings(resamples=50, permutations=50)
REBALANCE = RebalanceSettings(budget=0.3)


@pytest.fixture(scope="module")
def address():
    """A head without processors, and two workers of one each."""
    with pytest.MonkeyPatch.context() as patch:
        # Workers are given what runs here: this checkout, and this module.
        here = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]
        patch.setenv("PYTHONPATH", os.pathsep.join([*here, os.environ.get("PYTHONPATH", "")]))
        cluster = cluster_utils.Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster.address
        ray.shutdown()
        cluster.shutdown()


def chain(store):
    ingest(store, SOURCE, store.root, TAXONOMY, True, silent)
    segment(RunContext(store, TAXONOMY), AnnotatedSegmentation())
    for level in TAXONOMY.levels:
        dict(train_level(RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), level, METRIC))
    fit_tree(RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), METRIC)
    measure_bias(RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), "mouth", METRIC, BIAS)
    run = RunContext(store, TAXONOMY, tuple(ATTRIBUTES))
    make_plan(run, "mouth", REBALANCE)
    recombine(run, REBALANCE, METRIC)


def digests(store):
    return {
        path.relative_to(store.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.root.rglob("*"))
        if path.is_file() and path.suffix != ".json"
    }


def double(number):
    return 2 * number


class DieOnce:
    """Kills its worker at one shard, the first time."""

    def __init__(self, marker):
        self.marker = marker

    def __call__(self, number):
        if number == 5 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid(), number


def test_cluster_that_is_not_there_is_a_clear_error(monkeypatch):
    with pytest.raises(RayError, match="HEML_RAY: no cluster"):
        connect("127.0.0.1:1")


def test_results_come_in_order_from_two_workers(address, monkeypatch):
    monkeypatch.setenv("HEML_RAY", address)
    assert list(cluster_map(Job("double", lambda: double), range(40))) == [2 * n for n in range(40)]
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    assert len(nodes) == 2


def test_killed_worker_loses_nothing(address, monkeypatch, tmp_path):
    monkeypatch.setenv("HEML_RAY", address)
    work = DieOnce(tmp_path / "died")
    results = list(cluster_map(Job("die once", lambda: work), range(12)))
    assert [number for _, number in results] == list(range(12))
    assert work.marker.exists()
    assert os.getpid() not in {pid for pid, _ in results}


def test_error_of_a_shard_is_raised(address, monkeypatch):
    monkeypatch.setenv("HEML_RAY", address)

    def fail(number):
        raise ValueError(f"shard {number} has no mask")

    with pytest.raises(ValueError, match="shard 0 has no mask"):
        list(cluster_map(Job("fail", lambda: fail), range(3)))


def test_segments_embeddings_and_samples_are_the_same_bytes(address, monkeypatch, tmp_path):
    monkeypatch.delenv("HEML_RAY", raising=False)
    alone = Store(tmp_path / "alone")
    chain(alone)
    monkeypatch.setenv("HEML_RAY", address)
    shared = Store(tmp_path / "shared")
    chain(shared)
    assert digests(shared) == digests(alone)
    assert any(name.endswith("unsampled.parquet") for name in digests(alone))
    assert shared.summary("recombined_samples")["tried"] > 0
