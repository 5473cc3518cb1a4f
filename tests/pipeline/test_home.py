"""The Dagster instance: made where it is missing, and cleared of runs whose process is gone."""

import os
import subprocess
import sys

import dagster as dg
import yaml

from pipelines.home import end_dead_runs, ensure_home, process_tags


@dg.job
def nothing():
    """A job that does nothing."""


def test_home_is_absolute_and_sends_nothing_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "runs")
    home = ensure_home()
    assert home == tmp_path / "runs"
    assert os.environ["DAGSTER_HOME"] == str(home)
    settings = yaml.safe_load((home / "dagster.yaml").read_text())
    assert settings["telemetry"] == settings["nux"] == {"enabled": False}


def test_settings_that_a_person_changed_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("nux: {enabled: true}\n")
    ensure_home()
    assert (tmp_path / "dagster.yaml").read_text() == "nux: {enabled: true}\n"


def test_run_of_a_killed_process_is_ended_and_a_living_one_is_not():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with dg.DagsterInstance.ephemeral() as instance:
        started = dg.DagsterRunStatus.STARTED
        living = instance.create_run_for_job(nothing, status=started, tags=process_tags())
        tags = {**process_tags(), "heml/pid": str(gone.pid)}
        dead = instance.create_run_for_job(nothing, status=started, tags=tags)
        assert end_dead_runs(instance) == [dead.run_id]
        assert instance.get_run_by_id(dead.run_id).status == dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(living.run_id).status == started
