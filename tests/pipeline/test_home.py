"""The Dagster instance: made where it is missing, and cleared of runs whose process is gone."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import yaml

from heml.storage.process_liveness import process_lives
from pipelines.runtime.home import ensure_home
from pipelines.runtime.orphans import end_with_the_run
from pipelines.runtime.run_processes import end_dead_runs, name_the_process, process_tags

ROOT = Path(__file__).parents[2]


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


def test_processes_that_open_a_new_home_together_find_it_whole(tmp_path):
    program = (
        "from pipelines.runtime.home import open_instance\n"
        "with open_instance() as instance: print(len(instance.get_runs()))"
    )
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    assert [process.communicate(timeout=100)[0] for process in processes] == ["0\n"] * 3


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


def test_run_of_a_process_whose_number_another_one_has_now_is_ended():
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {**process_tags(), "heml/process_started": str(time.time() - 3600)}
        started = dg.DagsterRunStatus.STARTED
        dead = instance.create_run_for_job(nothing, status=started, tags=tags)
        assert end_dead_runs(instance) == [dead.run_id]


def step_of_a_run(pids):
    """A step: says who it is and works on, unless its run ends."""
    end_with_the_run()
    pids.send(os.getpid())
    time.sleep(120)


def run_with_a_step(pids):
    context = multiprocessing.get_context("forkserver")
    step = context.Process(target=step_of_a_run, args=[pids])
    step.start()
    step.join()


def test_steps_end_with_a_killed_run():
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    run = context.Process(target=run_with_a_step, args=[theirs])
    run.start()
    assert ours.poll(60)
    step = ours.recv()
    run.kill()
    run.join()
    deadline = time.monotonic() + 30
    while process_lives(step) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not process_lives(step)


@dg.asset
def tagged(context: dg.AssetExecutionContext):
    """An asset whose run says which process drives it."""
    name_the_process(context)


def test_run_that_the_daemon_launched_says_which_process_drives_it():
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([tagged], instance=instance).dagster_run
        assert instance.get_run_by_id(run.run_id).tags["heml/pid"] == str(os.getpid())


@dg.asset
def looked_at(context: dg.AssetExecutionContext):
    """An asset while which a sensor looks for dead runs; it fails when it runs first."""
    before = end_dead_runs(context.instance)
    name_the_process(context)
    assert before + end_dead_runs(context.instance) == []
    if context.run.parent_run_id is None:
        raise RuntimeError("the first run fails")


def again():
    """The job of that asset, as Dagster loads it again."""
    job = dg.define_asset_job("again", [looked_at], executor_def=dg.in_process_executor)
    return dg.Definitions([looked_at], jobs=[job]).resolve_job_def("again")


def test_run_that_is_executed_again_lives_by_its_own_process(tmp_path):
    """Dagster gives it the tags of the run before, and with them a process that is gone."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        job = dg.reconstructable(again)
        with dg.execute_job(job, instance, tags=process_tags()) as first:
            assert not first.success
        instance.add_run_tags(first.run_id, {"heml/pid": str(gone.pid)})
        options = dg.ReexecutionOptions(first.run_id)
        with dg.execute_job(job, instance, reexecution_options=options) as second:
            assert second.success
        run = instance.get_run_by_id(second.run_id)
        assert run.parent_run_id == first.run_id
        assert (run.tags["heml/run"], run.tags["heml/pid"]) == (run.run_id, str(os.getpid()))
