"""`kill -9` at every stage of a whole chain, while it writes and just before it is finished.

The stages before keep what they had, and the next run makes the stage again with the same bytes.
"""

import hashlib
import os
import signal

import pyarrow.parquet as pq
import pytest
from report_store import leave_out_figures

from benchmarks.direct import stage_calls
from heml.compute.progress import silent
from heml.storage.shard_files import ShardFiles
from heml.storage.store import Store
from pipelines.recipe.model import load_recipe

RECIPE = """\
name: heads
source: {kind: portraits, count: 120, size: 32, association: 0.9}
taxonomy:
  leaves: {hair: [hair], mouth: [mouth]}
  tree: {head: [hair, mouth]}
  ignored: [background, hat, skin, eyes, brows, nose, neck, clothes]
metric: {epochs: 1, embedding: 4, resolution: {leaf: 8, branch: 8, root: 8}}
bias: {resamples: 50, permutations: 50}
rebalance: {budget: 0.5}
effect: {seeds: 1, steps: 2, size: 16}
"""
#: Stage, and where it is killed.
KILLS = [
    ("images", "flush"),
    ("images", "finish"),
    ("segments", "flush"),
    ("segments", "finish"),
    ("metric_0", "finish"),
    ("metric_1", "finish"),
    ("metric_tree", "write"),
    ("metric_tree", "finish"),
    ("bias_scores", "write"),
    ("bias_scores", "finish"),
    ("rebalance_plan", "write"),
    ("rebalance_plan", "finish"),
    ("recombined_samples", "rows"),
    ("recombined_samples", "finish"),
    ("rebalanced_dataset", "rows"),
    ("rebalanced_dataset", "finish"),
    ("debias_effect", "write"),
    ("debias_effect", "finish"),
    ("dataset_card", "finish"),
    ("report", "finish"),
]
#: Where: what is replaced, and at which call the process dies.
PLACES = {
    "flush": (ShardFiles, "flush", 1),
    "write": (pq, "write_table", 1),
    "rows": (pq.ParquetWriter, "write_table", 2),
    "finish": (Store, "finish", 1),
}
pytestmark = pytest.mark.timeout(600)


def victim(recipe, root, stage, place):
    """Runs a stage in a process of its own and kills it there."""
    owner, name, call = PLACES[place]
    real, calls = getattr(owner, name), []

    def deadly(*args, **options):
        calls.append(name)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)

    setattr(owner, name, deadly)
    leave_out_figures(pytest.MonkeyPatch())
    stage_calls(load_recipe(recipe), Store(root))[stage](silent)


def digests(store):
    """Content of every file but the manifests, whose summaries hold speeds, and locks."""
    return {
        path.relative_to(store.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.root.rglob("*"))
        if path.is_file() and path.suffix != ".json" and ".locks" not in path.parts
    }


class Chain:
    """A store whose stages are run one after the other."""

    def __init__(self, recipe, root):
        self.recipe, self.store = recipe, Store(root)
        self.calls = stage_calls(load_recipe(recipe), self.store)

    def up_to(self, stage):
        """Runs everything before a stage; what is finished is kept."""
        for name, call in self.calls.items():
            if name == stage:
                return
            call(silent)


@pytest.fixture(scope="module", autouse=True)
def _undrawn():
    """The report is killed and written again whatever its charts show."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_figures(patch)
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "heads.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """Content after every stage of a chain that nothing happens to."""
    chain, after = Chain(recipe, tmp_path_factory.mktemp("whole")), {}
    for name, call in chain.calls.items():
        call(silent)
        after[name] = digests(chain.store)
    return after


@pytest.fixture(scope="module")
def hurt(recipe, tmp_path_factory):
    return Chain(recipe, tmp_path_factory.mktemp("hurt"))


@pytest.mark.parametrize(("stage", "place"), KILLS)
def test_killed_stage_loses_nothing_and_is_made_again(
    stage, place, recipe, whole, hurt, forkserver
):
    hurt.up_to(stage)
    manifests = {p: p.stat().st_mtime_ns for p in (hurt.store.root / "manifests").rglob("*.json")}
    before = [p for p in manifests if p.stem != stage]
    process = forkserver.Process(target=victim, args=(recipe, hurt.store.root, stage, place))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert {p: p.stat().st_mtime_ns for p in before} == {p: manifests[p] for p in before}

    hurt.up_to(stage)  # nothing before it is made again
    assert {p: p.stat().st_mtime_ns for p in before} == {p: manifests[p] for p in before}
    hurt.calls[stage](silent)
    assert digests(hurt.store) == whole[stage]
    assert not [p for p in hurt.store.root.rglob(".*") if p.suffix in (".tmp", ".old")]
    # So that the next kill finds the stage unfinished again.
    (hurt.store.root / "manifests" / f"{stage}.json").unlink(missing_ok=True)
