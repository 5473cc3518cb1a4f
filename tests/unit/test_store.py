"""Writing aside, finishing and resuming."""

import os
import subprocess
import sys

import pytest

from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def write(path, text="content"):
    with write_aside(path) as aside:
        aside.write_text(text)


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
