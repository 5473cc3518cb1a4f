"""Faults that pass and those that do not, locks, and what is removed from a store."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error

import dagster as dg
import pytest

from heml.sources.raw import SourceError
from heml.storage.atomic_write import is_abandoned, write_aside
from heml.storage.cleanup import removable, remove
from heml.storage.locks import locked
from heml.storage.remote import StoreError
from heml.storage.store import Store
from pipelines.cli.app import main as heml
from pipelines.runtime.recovery import WAITS, recovering
from pipelines.runtime.transient_errors import disk_full, passes


def caused(error, cause):
    try:
        raise error from cause
    except type(error) as raised:
        return raised


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        OSError(errno.EIO, "bad sector"),
        caused(StoreError("the store cannot be used"), OSError(errno.ENETUNREACH, "away")),
        type("EndpointConnectionError", (Exception,), {"__module__": "botocore.exceptions"})(),
    ],
)
def test_passing_faults(error):
    assert passes(error)


@pytest.mark.parametrize(
    "error",
    [
        SourceError("source.label: no column 'mouht'"),
        FileNotFoundError(errno.ENOENT, "no such file"),
        PermissionError(errno.EACCES, "not yours"),
        OSError(errno.ENOSPC, "no room"),
        StoreError("credentials do not belong in the URL"),
        ValueError("a bug"),
        urllib.error.HTTPError("http://x", 403, "forbidden", None, None),
    ],
)
def test_faults_that_stay(error):
    assert not passes(error)


def run(errors):
    """Runs a step that raises these errors, one at each try."""
    left = list(errors)

    @dg.op
    def step(context):
        with recovering(context):
            if left:
                raise left.pop(0)

    @dg.job
    def job():
        step()

    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        restarted = [e for e in result.all_events if e.event_type_value == "STEP_RESTARTED"]
        failures = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
        return result.success, len(restarted), failures


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr("pipelines.runtime.recovery.WAITS", (0,) * len(WAITS))


def test_step_is_tried_again_while_the_network_is_away(at_once):
    assert run([ConnectionResetError("away")] * 2)[:2] == (True, 2)


def test_step_fails_when_it_stays_away(at_once):
    assert run([ConnectionResetError("away")] * 9)[:2] == (False, len(WAITS))


def test_wrong_recipe_is_not_tried_again(at_once):
    success, restarted, _ = run([SourceError("source.label: no column 'mouht'")])
    assert (success, restarted) == (False, 0)


def test_waits_grow():
    assert list(WAITS) == sorted(set(WAITS))


def test_full_disk_is_said_in_one_line_and_not_tried_again(at_once):
    full = OSError(errno.ENOSPC, "No space left on device", "/store/images/part-00000.parquet")
    success, restarted, failures = run([full])
    assert disk_full(full)
    assert (success, restarted) == (False, 0)
    message = failures[0].step_failure_data.user_failure_data.description
    assert message.startswith("the disk is full: ")
    assert "part-00000.parquet" in message
    assert "\n" not in message


def test_full_disk_leaves_the_earlier_table_and_no_half(store, dataset, taxonomy, monkeypatch):
    from heml.compute.progress import silent
    from heml.sources.ingest import ingest
    from heml.storage.shard_files import ShardFiles

    def images():
        dataset.write()
        return ingest(store, dataset.settings(), dataset.root, taxonomy, True, silent)

    dataset.good(16)
    images()
    before = {p.name: p.read_bytes() for p in store.images.iterdir()}
    dataset.good(70)
    with monkeypatch.context() as patch:

        def full(self):
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(ShardFiles, "flush", full)
        with pytest.raises(OSError, match="No space left"):
            images()
    assert {p.name: p.read_bytes() for p in store.images.iterdir()} == before
    assert not [p for p in store.root.rglob(".*") if p.suffix in (".tmp", ".old")]
    assert images().summary["accepted"] == 86


HOLD = """
import sys, time
from pathlib import Path
from heml.storage.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has a lock."""
    path = tmp_path / "lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield path, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_lock_of_a_killed_process_is_free(holder):
    path, process = holder
    waited = []

    def kill():
        waited.append(True)
        process.send_signal(signal.SIGKILL)

    with locked(path, kill):
        assert waited


def test_free_lock_is_taken_at_once(tmp_path):
    with locked(tmp_path / "lock", lambda: pytest.fail("nobody has it")):
        pass


def gone():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_files_of_other_machines_are_left_for_a_day(tmp_path):
    path = tmp_path / f".table.{gone()}@elsewhere.tmp"
    path.touch()
    assert not is_abandoned(path)
    yesterday = time.time() - 25 * 3600
    os.utime(path, (yesterday, yesterday))
    assert is_abandoned(path)


def test_names_that_nobody_wrote_aside_are_never_abandoned(tmp_path):
    for name in (".locks", ".synced", ".notes.tmp", "table.99999999.tmp", ".hidden"):
        (tmp_path / name).touch()
        assert not is_abandoned(tmp_path / name)


@pytest.fixture
def node(store):
    """A node with current artifacts, the ones it was trained as, and two earlier ones."""
    for name in ("current", "trained", "earlier", "recent"):
        folder = store.node("hair") / name
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(b"12345")
    summary = {"lineage": {"weights": "trained"}}
    store.finish("metric/hair", "current", summary, [store.node("hair") / "current"])
    old = time.time() - 40 * 24 * 3600
    for name in ("current", "trained", "earlier"):
        os.utime(store.node("hair") / name, (old, old))
    return store.node("hair")


def names(store, days=30):
    return {found.path.name for found in removable(store, days)}


def test_only_what_nothing_uses_can_go(store, node):
    assert names(store) == {"earlier"}
    assert names(store, days=0) == {"earlier", "recent"}


def test_views_of_a_training_that_did_not_happen_can_go(store):
    store.node_views.mkdir(parents=True)
    for name, age in (("hair.old.npy", 40), ("hair.new.npy", 1)):
        (store.node_views / name).touch()
        written = time.time() - age * 24 * 3600
        os.utime(store.node_views / name, (written, written))
    assert names(store) == {"hair.old.npy"}


def test_halves_of_dead_processes_go_and_of_living_ones_stay(store, node):
    dead, alive = store.root / f".images.{gone()}.tmp", store.root / f".images.{os.getppid()}.tmp"
    dead.mkdir()
    alive.mkdir()
    assert dead.name in names(store)
    assert alive.name not in names(store)
    with write_aside(store.root / "table") as aside:
        aside.touch()
        assert aside.name not in names(store)
        assert socket.gethostname().replace(".", "-") in aside.name


def test_nothing_goes_while_a_process_is_at_the_stage(store, node):
    (found,) = removable(store, 30)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.lock("metric/hair"))],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    try:
        assert not remove(found)
        assert found.path.is_dir()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert remove(found)
    assert not found.path.exists()


def test_command_says_what_goes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HEML_STORE", str(tmp_path))
    recipe = tmp_path / "faces.yaml"
    recipe.write_text("name: faces\nsource: {kind: portraits}\n")
    left = Store(tmp_path / "faces").root / f".images.{gone()}.tmp"
    left.mkdir(parents=True)
    (left / "part").write_bytes(b"x" * 2_000_000)
    assert heml(["clean", str(recipe), "--dry-run"]) == 0
    assert left.exists()
    assert "2.0 MB could be freed" in capsys.readouterr().out
    assert heml(["clean", str(recipe)]) == 0
    assert not left.exists()
    assert "2.0 MB freed" in capsys.readouterr().out
