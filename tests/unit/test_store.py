"""Writing aside, finishing and resuming."""

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from heml.storage import verification
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.forced import UnknownStage, force, named_stages
from heml.storage.manifest import manifest_path, read_manifest
from heml.storage.store import DamagedStage, Store

#: Seconds after which a file's state is believed.
SETTLED = 2 * verification.SETTLED / 1e9


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def write(path, text="content"):
    with write_aside(path) as aside:
        aside.write_text(text)


def test_a_stage_is_forced_once_for_each_request(store):
    weights = store.node("hair") / "fingerprint" / "weights"
    write(weights, "weights")
    store.finish("metric/hair", "fingerprint", {}, [weights.parent])
    assert force(store, "metric/hair", "run 1")
    assert store.finished("metric/hair", "fingerprint") is None
    assert not store.node("hair").exists()
    write(weights, "weights")
    store.finish("metric/hair", "fingerprint", {}, [weights.parent])
    # A step that is tried again, or a run that goes on from this one, keeps what is made.
    assert not force(store, "metric/hair", "run 1")
    assert not force(store, "metric/hair", "run 2", ["run 0", "run 1"])
    assert store.finished("metric/hair", "fingerprint") == {}
    assert force(store, "metric/hair", "run 3")


def test_exports_are_forced_with_the_dataset(store):
    for stage in ("rebalanced_dataset", "export_coco", "edit_detectability", "report"):
        store.finish(stage, "fingerprint", {}, [])
    assert force(store, "rebalanced_dataset", "run")
    assert store.stages() == ["report"]


def test_words_name_stages():
    stages = ["images", "metric/hair", "metric/head", "metric_tree"]
    assert named_stages([" images", "", "metric"], stages) == {*stages} - {"metric_tree"}
    assert named_stages(["quarantine", "metric_tree"], stages) == {"images", "metric_tree"}
    with pytest.raises(UnknownStage, match="did you mean 'metric_tree'"):
        named_stages(["metrictree"], stages)


def test_a_failed_writer_leaves_the_target_as_it_was(tmp_path):
    target = tmp_path / "table"
    write(target, "old")

    def fail():
        with write_aside(target) as aside:
            aside.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    for name in ("first", "second"):
        with write_aside(target) as aside:
            aside.mkdir()
            (aside / name).touch()
    assert [p.name for p in target.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [target]


def test_threads_that_write_one_file_do_not_take_each_others(tmp_path):
    target = tmp_path / "table"
    with write_aside(target) as own:
        own.write_text("own")
        # Another thread of this process writes the same file meanwhile.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write, target, "other").result()
    assert target.read_text() == "own"
    assert list(tmp_path.iterdir()) == [target]


def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone, kept = tmp_path / f".table.{dead.pid}.tmp", tmp_path / f".table.{os.getppid()}.tmp"
    gone.mkdir()
    kept.mkdir()
    write(tmp_path / "table")
    assert not gone.exists()
    assert kept.exists()


def test_finished_only_under_the_same_fingerprint(store):
    write(store.bias_scores)
    store.finish("bias_scores", "a", {"n": 3}, [store.bias_scores])
    assert store.finished("bias_scores", "a") == {"n": 3}
    assert store.finished("bias_scores", "b") is None
    assert store.finished("segments", "a") is None


def test_not_finished_if_a_file_is_missing_or_cut(store):
    store.images.mkdir()
    part = store.images / "part.parquet"
    write(part)
    store.finish("images", "a", {}, [store.images])
    assert store.finished("images", "a") == {}
    part.write_text("cut")
    assert store.finished("images", "a") is None
    part.unlink()
    assert store.finished("images", "a") is None


def test_a_broken_manifest_is_no_manifest(store):
    store.finish("images", "a", {}, [])
    (store.root / "manifests" / "images.json").write_text("{")
    assert store.finished("images", "a") is None


def test_a_stage_that_never_ran_says_so(store):
    with pytest.raises(FileNotFoundError, match="stage 'images' has not run yet"):
        store.summary("images")


def test_fingerprints_do_not_depend_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint([1, 2]) != fingerprint([2, 1])


def flipped(path):
    """The file with another byte of the same length; its times stay."""
    content, times = bytearray(path.read_bytes()), path.stat()
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_flipped_byte_counts_as_not_finished(store):
    write(store.bias_scores)
    store.finish("bias_scores", "a", {"n": 3}, [store.bias_scores])
    flipped(store.bias_scores)
    assert store.damaged("bias_scores") == ["bias_scores.parquet"]
    assert store.finished("bias_scores", "a") is None
    with pytest.raises(DamagedStage, match="not what the stage wrote: run the stage again"):
        store.summary("bias_scores")
    flipped(store.bias_scores)
    assert store.finished("bias_scores", "a") == {"n": 3}


def test_unchanged_files_are_not_read_again(store, monkeypatch):
    write(store.bias_scores)
    time.sleep(SETTLED)
    store.finish("bias_scores", "a", {}, [store.bias_scores])
    monkeypatch.setattr(verification, "file_hash", None)
    assert store.finished("bias_scores", "a") == {}


def test_a_file_that_was_just_written_is_read_again(store):
    """A second change within the same tick of the clock has the same times."""
    write(store.bias_scores)
    store.finish("bias_scores", "a", {}, [store.bias_scores])
    states = json.loads((store.root / verification.VERIFIED / "bias_scores.json").read_text())
    assert states == {}


def test_a_copied_store_is_read_once(store, tmp_path, monkeypatch):
    write(store.bias_scores)
    store.finish("bias_scores", "a", {}, [store.bias_scores])
    copy = Store(shutil.copytree(store.root, tmp_path / "copy"))
    time.sleep(SETTLED)
    assert copy.finished("bias_scores", "a") == {}
    monkeypatch.setattr(verification, "file_hash", None)
    assert copy.finished("bias_scores", "a") == {}


def test_rereading_finds_what_changed_no_times(store):
    write(store.bias_scores)
    store.finish("bias_scores", "a", {}, [store.bias_scores])
    hashes = read_manifest(store.root, "bias_scores").sha256
    flipped(store.bias_scores)
    time.sleep(SETTLED)
    # As a disk does it that loses a bit: the file system knows of nothing.
    verification.remember_verified(store.root, "bias_scores", hashes)
    assert store.damaged("bias_scores") == []
    assert store.damaged("bias_scores", reread=True) == ["bias_scores.parquet"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"checksum": 1}', '{"n": 1}', "\x00"])
def test_a_damaged_manifest_is_not_finished(store, content):
    write(store.bias_scores)
    store.finish("bias_scores", "a", {"n": 3}, [store.bias_scores])
    manifest_path(store.root, "bias_scores").write_text(content)
    assert store.finished("bias_scores", "a") is None
    with pytest.raises(FileNotFoundError, match="damaged; remove it"):
        store.summary("bias_scores")


def test_a_changed_number_in_a_manifest_is_noticed(store):
    write(store.bias_scores)
    store.finish("bias_scores", "a", {"n": 3}, [store.bias_scores])
    path = manifest_path(store.root, "bias_scores")
    path.write_text(path.read_text().replace('"n": 3', '"n": 4'))
    assert store.finished("bias_scores", "a") is None


def test_damaged_states_of_files_are_made_again(store):
    write(store.bias_scores)
    store.finish("bias_scores", "a", {}, [store.bias_scores])
    (store.root / verification.VERIFIED / "bias_scores.json").write_text("[1")
    assert store.finished("bias_scores", "a") == {}


def test_a_summary_may_hold_any_text(store):
    write(store.bias_scores)
    summary = {"file": b"caf\xe9".decode("utf-8", "surrogateescape")}
    store.finish("bias_scores", "a", summary, [store.bias_scores])
    assert store.finished("bias_scores", "a") == summary
