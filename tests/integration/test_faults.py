"""Stages whose process is killed in the middle: nothing half-written is read, and what was finished
is not made again."""

import hashlib
import os
import signal

import pytest

from heml.compute.progress import silent
from heml.metrics.level import train_level
from heml.metrics.metric_settings import MetricSettings, Resolution
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layouts.portraits import PortraitsSource
from heml.storage.run_context import RunContext
from heml.storage.shard_files import ShardFiles
from heml.storage.store import Store
from heml.taxonomy import Taxonomy, builtin

TAXONOMY = builtin("portraits")
SOURCE = PortraitsSource(kind="portraits", count=100, size=48)
METRIC = MetricSettings(epochs=1, resolution=Resolution(leaf=16, branch=16, root=16))
#: Of the `dataset` fixture's classes.
SHAPES = Taxonomy(
    "shapes",
    {"background": ("background",), "shape": ("shape",)},
    {"image": ("background", "shape")},
    ignored=("void",),
)
NODES = ["mouth", "nose", "neck"]


def images(store, progress=silent):
    return ingest(store, SOURCE, store.root, TAXONOMY, True, progress)


def segments(store, progress=silent):
    return segment(RunContext(store, TAXONOMY, progress=progress), AnnotatedSegmentation())


def metric(store, progress=silent):
    return dict(train_level(RunContext(store, TAXONOMY, ("hair_tone",), progress), NODES, METRIC))


def shapes(store, progress=silent):
    return segment(RunContext(store, SHAPES, progress=progress), AnnotatedSegmentation())


CHAIN = {"images": images, "segments": segments, "metric": metric}
STAGES = {**CHAIN, "shapes": shapes}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def victim(stage, root):
    """Runs a stage in a process of its own and kills it: tables at their second write, a level
    when its first node is trained."""
    flush, times = ShardFiles.flush, []

    def flush_once(self):
        times.append(1)
        die() if len(times) == 2 else flush(self)

    def progress(line):
        if line.startswith("metric/") and ": precision" in line:
            die()

    if stage != "metric":
        ShardFiles.flush = flush_once
    STAGES[stage](Store(root), progress)


@pytest.fixture
def killed(forkserver):
    """Runs a stage in a process that is killed in the middle."""

    def run(stage, store):
        process = forkserver.Process(target=victim, args=(stage, store.root))
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL

    return run


def digests(store):
    """Content of every file but the manifests, whose summaries hold speeds."""
    return {
        path.relative_to(store.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.root.rglob("*"))
        if path.is_file() and path.suffix != ".json"
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store that nothing happened to; its content after every stage."""
    store, after = Store(tmp_path_factory.mktemp("whole")), {}
    for name, stage in CHAIN.items():
        stage(store)
        after[name] = digests(store)
    return after


@pytest.fixture(scope="module")
def hurt(tmp_path_factory):
    """A store whose stages are killed one after the other, and run again."""
    return Store(tmp_path_factory.mktemp("hurt"))


def leftovers(store):
    return [path for path in store.root.rglob(".*") if path.suffix in (".tmp", ".old")]


@pytest.mark.parametrize("stage", ["images", "segments"])
def test_killed_table_is_written_again_and_whole(stage, whole, hurt, killed):
    killed(stage, hurt)
    assert leftovers(hurt), "it was killed while it wrote"
    with pytest.raises(FileNotFoundError, match="has not run yet"):
        hurt.summary(stage)
    outcome = STAGES[stage](hurt)
    assert not outcome.reused
    assert digests(hurt) == whole[stage]
    assert leftovers(hurt) == []


def test_growing_source_killed_while_segmenting_keeps_the_earlier_table(dataset, store, killed):
    def grow(count):
        dataset.good(count)
        dataset.write()
        ingest(store, dataset.settings(), dataset.root, SHAPES, True, silent)

    grow(80)
    first = shapes(store)
    before = {path.name: path.read_bytes() for path in store.segments.iterdir()}
    grow(20)
    killed("shapes", store)
    assert {path.name: path.read_bytes() for path in store.segments.iterdir()} == before
    assert store.summary("segments") == first.summary
    again = shapes(store).summary
    assert (again["segmented"], again["kept"]) == (20, 80)


def test_level_goes_on_with_the_nodes_that_were_not_finished(whole, hurt, killed):
    killed("metric", hurt)
    outcomes = metric(hurt)
    kept = [node for node, outcome in outcomes.items() if outcome.reused]
    assert len(kept) == 1
    assert set(outcomes) == set(NODES)
    assert digests(hurt) == whole["metric"]
    assert leftovers(hurt) == []
