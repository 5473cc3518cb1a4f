"""Steps as jobs of a local Ray cluster: nodes of one level train side by side, each in its own."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from benchmarks.direct import stage_calls
from heml.compute.progress import silent
from heml.storage.store import Store
from pipelines.recipe.model import load_recipe

pytest.importorskip("dagster_ray", reason="the extra 'ray' is not installed")
cluster_utils = pytest.importorskip("ray.cluster_utils")

# One cluster at a time: each has processes of its own for every core.
pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("ray")]
ROOT = Path(__file__).parents[2]
RECIPE = """\
name: heads
source: {kind: portraits, count: 100, size: 32, association: 0.9}
taxonomy:
  leaves: {hair: [hair], mouth: [mouth]}
  tree: {head: [hair, mouth]}
  ignored: [background, hat, skin, eyes, brows, nose, neck, clothes]
metric: {epochs: 1, embedding: 4, resolution: {leaf: 8, branch: 8, root: 8}}
"""
#: What starts the run: the executor's side, in a process that sees the cluster's variables.
PROGRAM = """
import dagster as dg
from pipelines.stored_job import stored_job

job = dg.build_reconstructable_job(stored_job.__module__, stored_job.__name__, ("heads",))
leaves = [dg.AssetKey(["heads", "metric", name]) for name in ("hair", "mouth")]
with dg.DagsterInstance.get() as instance:
    dg.execute_job(job, instance, asset_selection=leaves, raise_on_error=True)
"""


@pytest.fixture
def job_server(monkeypatch, free_port):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # A job's command is `dagster`: the cluster has to find it.
    scripts = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([scripts, os.environ["PATH"]]))
    cluster = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": True, "dashboard_port": free_port()},
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield f"http://{cluster.webui_url}"
    cluster.shutdown()


def test_nodes_are_jobs_of_the_cluster_and_the_same_bytes(job_server, tmp_path):
    recipe = tmp_path / "heads.yaml"
    recipe.write_text(RECIPE)
    alone, shared = Store(tmp_path / "alone" / "heads"), Store(tmp_path / "shared" / "heads")
    for stage in ("images", "segments", "metric_0"):
        stage_calls(load_recipe(recipe), alone)[stage](silent)
        if stage != "metric_0":
            stage_calls(load_recipe(recipe), shared)[stage](silent)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = os.environ | {
        "DAGSTER_HOME": str(tmp_path / "home"),
        "HEML_RAY_JOBS": job_server,
        "HEML_RECIPE_FILES": str(recipe),
        "HEML_STORE": str(shared.root.parent),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        (run,) = instance.get_runs()
        started, failed = (
            [
                record.event_log_entry.dagster_event
                for record in instance.get_records_for_run(run.run_id, of_type=kind).records
            ]
            for kind in (dg.DagsterEventType.STEP_WORKER_STARTING, dg.DagsterEventType.STEP_FAILURE)
        )
    assert run.is_success, [event.event_specific_data.error_display_string for event in failed]
    assert {"heads__metric_hair", "heads__metric_mouth"} <= {event.step_key for event in started}
    for node in ("hair", "mouth"):
        key = alone.fingerprint(f"metric/{node}")
        assert shared.fingerprint(f"metric/{node}") == key
        for name in ("weights.safetensors", "embeddings.parquet"):
            found, expected = (s.node(node) / key / name for s in (shared, alone))
            assert found.read_bytes() == expected.read_bytes()
