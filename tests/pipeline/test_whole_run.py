"""A whole recipe through Dagster: run, run again, change one leaf. Takes about two minutes."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

import heml
from heml.dataset_folder.manifest_file import verify
from heml.storage.store import Store
from pipelines.build import build_defs

ROOT = Path(__file__).parents[2]
RECIPE = """\
name: small
source: {kind: portraits, count: 160, size: 48, association: 0.9}
taxonomy:
  leaves: {hair: [hair], mouth: [mouth]}
  tree: {head: [hair, mouth]}
  ignored: [background, hat, skin, eyes, brows, nose, neck, clothes]
metric:
  epochs: 2
  resolution: {leaf: 16, branch: 24, root: 32}
rebalance: {budget: 0.3}
effect: {seeds: 1, steps: 30, size: 32}
"""
NODES = {"hair", "mouth", "head"}
MOUTH_AND_ABOVE = {"mouth", "head"}

pytestmark = pytest.mark.timeout(900)


class Runs:
    """Runs of one recipe into one store."""

    def __init__(self, folder: Path) -> None:
        self.recipe = folder / "small.yaml"
        self.root = folder / "store"
        self.home = folder / "home"
        self.store = Store(self.root / "small")

    def command(self, text: str) -> subprocess.CompletedProcess[str]:
        """As people run it: the command, a process for every step, and two that make samples."""
        self.recipe.write_text(text)
        environment = {
            **os.environ,
            "HEML_STORE": str(self.root),
            "DAGSTER_HOME": str(self.home),
            "HEML_PROCESSES": "2",
        }
        return subprocess.run(
            [sys.executable, "-m", "pipelines.cli", "run", str(self.recipe)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )

    def in_process(
        self, text: str, *assets: str, force: str | None = None
    ) -> dg.ExecuteInProcessResult:
        """In this process, which is faster: all assets or the named ones."""
        self.recipe.write_text(text)
        defs = build_defs(recipe_files=[self.recipe], store_root=self.root)
        chosen = [dg.AssetKey(["small", *asset.split("/")]) for asset in assets]
        with dg.DagsterInstance.ephemeral() as instance:
            job = defs.resolve_job_def("small")
            return job.execute_in_process(
                instance=instance,
                asset_selection=chosen or None,
                tags={"heml/force": force} if force else None,
                raise_on_error=False,
            )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("whole run"))


@pytest.fixture(scope="module")
def first(runs):
    return runs.command(RECIPE)


@pytest.fixture(scope="module")
def second(runs, first):
    return runs.in_process(RECIPE)


@pytest.fixture(scope="module")
def changed(runs, second):
    """One leaf is trained at another resolution."""
    return runs.in_process(RECIPE.replace("root: 32}", "root: 32, nodes: {mouth: 24}}"))


def reused(result):
    """Stage → whether the run kept an earlier result."""
    return {
        "/".join(event.materialization.asset_key.path[1:]): event.materialization.metadata[
            "reused"
        ].value
        for event in result.get_asset_materialization_events()
        for event in [event.step_materialization_data]
    }


def retrained(result):
    return {
        stage.removeprefix("metric/")
        for stage, kept in reused(result).items()
        if stage.startswith("metric/") and not kept
    }


def test_command_succeeds_and_tells_what_was_found(runs, first):
    assert first.returncode == 0, first.stdout
    assert first.stderr == ""
    assert "Bias: leaves that encode hair_tone" in first.stdout
    assert "Effect: accuracy on" in first.stdout
    assert "Trained  3 metrics" in first.stdout
    assert "no picture" not in first.stdout
    assert list((runs.home / "run_logs").glob("small-*.log"))
    # Dagster's web server sends away what it finds in this folder, as telemetry.
    assert not (runs.home / "logs").exists()
    assert str(runs.store.rebalanced_dataset) in first.stdout
    assert "Traceback" not in first.stdout


def test_every_result_is_in_the_store(runs, first):
    store = runs.store
    assert store.report.is_file()
    assert (store.rebalanced_dataset / "README.md").is_file()
    assert set(pd.read_parquet(store.bias_scores)["node"]) == NODES
    assert len(pd.read_parquet(store.debias_effect)) == 3


def test_run_is_recorded_with_every_check_passed(runs, first):
    with dg.DagsterInstance.from_config(str(runs.home)) as instance:
        (run,) = instance.get_runs()
        assert (run.job_name, run.status) == ("small", dg.DagsterRunStatus.SUCCESS)
        checks = instance.get_records_for_run(
            run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ).records
    evaluations = [
        record.event_log_entry.dagster_event.asset_check_evaluation_data for record in checks
    ]
    graph = build_defs(recipe_files=[runs.recipe], store_root=runs.root).resolve_asset_graph()
    assert {evaluation.asset_check_key for evaluation in evaluations} == graph.asset_check_keys
    severe = dg.AssetCheckSeverity.ERROR
    assert all(e.passed for e in evaluations if e.severity == severe)


def test_second_run_keeps_everything(second):
    assert second.success
    assert set(reused(second).values()) == {True}


def test_asset_is_recorded_with_numbers_picture_and_version(second, runs):
    event = next(
        event.step_materialization_data.materialization
        for event in second.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(["small", "metric", "mouth"])
    )
    assert isinstance(event.metadata["precision_at_1"], dg.FloatMetadataValue)
    assert event.metadata["picture"].value.startswith("![metric/mouth](data:image/png;base64,")
    assert event.tags["dagster/data_version"] == runs.store.fingerprint("metric/mouth")


def test_every_asset_has_numbers_and_a_picture(second):
    shown = {
        "/".join(event.asset_key.path[1:]): {
            "picture" if name == "picture" else type(value).__name__
            for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in second.get_asset_materialization_events()
    }
    # Refused inputs have no pictures.
    assert shown.pop("quarantine")
    assert {"images", "metric/hair", "dataset_card", "report"} <= set(shown)
    assert not [stage for stage, kinds in shown.items() if "picture" not in kinds]
    plotted = {"IntMetadataValue", "FloatMetadataValue"}
    assert not [stage for stage, kinds in shown.items() if not kinds & plotted]


def test_changed_leaf_retrains_only_itself_and_what_is_above_it(changed):
    assert changed.success
    assert retrained(changed) == MOUTH_AND_ABOVE
    assert reused(changed)["images"]
    assert reused(changed)["segments"]
    assert not reused(changed)["bias_scores"]


def test_changing_back_retrains_nothing(runs, changed):
    nodes = [f"metric/{node}" for node in NODES]
    result = runs.in_process(RECIPE, *nodes)
    assert set(reused(result)) == set(nodes)
    assert retrained(result) == set()


def test_forced_stages_are_made_again_and_what_follows_is_kept(runs, changed):
    before = runs.store.fingerprint("metric/hair")
    made = ["segments", "metric/hair", "metric/mouth", "metric/head"]
    result = runs.in_process(RECIPE, *made, force="segments, metric/hair")
    assert reused(result) == dict(zip(made, [False, False, True, True], strict=True))
    # Every image anew: none keeps the segments of the earlier table.
    assert runs.store.summary("segments")["kept"] == 0
    # Training is a function of the seed: the same weights under the same name.
    assert runs.store.fingerprint("metric/hair") == before
    assert set(reused(runs.in_process(RECIPE, *made)).values()) == {True}


@pytest.mark.parametrize(
    ("force", "said"),
    [
        ("segment", "'segment' is no stage; did you mean 'segments'?"),
        ("report", "this run does not make 'report'; use one of: segments"),
    ],
)
def test_stages_that_cannot_be_forced_are_told(runs, changed, force, said):
    result = runs.in_process(RECIPE, "segments", force=force)
    assert not result.success
    (failure,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    assert said in failure.step_failure_data.error.cause.message


def test_dataset_is_whole_and_its_card_knows_the_effect(runs, first):
    manifest = verify(runs.store.rebalanced_dataset)
    assert manifest["version"] == "1.0.0"
    card = (runs.store.rebalanced_dataset / "README.md").read_text()
    assert "real test images a small network reached a worst-group accuracy of" in card


def test_revoked_images_are_gone_and_stay_out(runs, changed, tmp_path):
    before = heml.open_dataset(runs.store.rebalanced_dataset)
    train = before.table("train", ["image_id", "donor_ids"])
    donor = next(donors[0] for donors in train["donor_ids"] if len(donors))
    rows, descendants = len(before), len(before.descendants(donor))
    assert descendants
    (tmp_path / "ids.txt").write_text(f"{donor}\n")
    environment = {**os.environ, "HEML_STORE": str(runs.root), "DAGSTER_HOME": str(runs.home)}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "revoke", str(runs.recipe), "--file", "ids.txt"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "1 images revoked" in done.stdout
    after = heml.open_dataset(runs.store.rebalanced_dataset)
    assert donor not in after
    assert after.descendants(donor) == []
    assert len(after) == rows - 1 - descendants
    assert not runs.store.report.exists()

    # The images are read again without it; everything after them is not up to date any more.
    assert runs.in_process(RECIPE, "images", "quarantine").success
    summary = runs.store.summary("images")
    assert summary["revoked"] == summary["excluded"] == 1
    assert summary["read"] == summary["accepted"] + 1
