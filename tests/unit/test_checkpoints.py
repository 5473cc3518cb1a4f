"""Checkpoints are known by their content wherever they lie, and found by one rule."""

import os

import pytest

from heml.compute.checkpoints import CheckpointError, checkpoint_identity, resolve_checkpoint
from heml.metrics.metric_settings import MetricSettings


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(1000))
    return folder


def test_replaced_weights_of_the_same_size_and_time_are_noticed(folder):
    before, path = checkpoint_identity(str(folder)), folder / "model.safetensors"
    state = path.stat()
    replacement = folder.parent / "new"
    replacement.write_bytes(bytes(999) + b"1")
    os.utime(replacement, ns=(state.st_atime_ns, state.st_mtime_ns))
    replacement.rename(path)
    assert path.stat().st_size == state.st_size
    assert path.stat().st_mtime_ns == state.st_mtime_ns
    assert checkpoint_identity(str(folder)) != before


def test_a_moved_folder_is_the_same_and_nested_files_count(folder, tmp_path):
    before = checkpoint_identity(str(folder))
    moved = folder.rename(tmp_path / "elsewhere")
    assert checkpoint_identity(str(moved)) == before
    (moved / ".cache").mkdir()
    (moved / ".cache" / "download.json").write_text("later")
    assert checkpoint_identity(str(moved)) == before
    (moved / "unet").mkdir()
    (moved / "unet" / "model.safetensors").write_bytes(b"1")
    assert checkpoint_identity(str(moved)) != before


def test_names_are_known_by_their_revision(monkeypatch):
    import huggingface_hub

    class Info:
        sha = "abc123"

    monkeypatch.setattr(
        huggingface_hub, "HfApi", lambda: type("Api", (), {"model_info": lambda *_, **__: Info})()
    )
    assert checkpoint_identity("heml-tests/known") == "heml-tests/known@abc123"


def test_a_name_that_cannot_be_fetched_is_refused(monkeypatch):
    import huggingface_hub

    class Api:
        def model_info(self, name, timeout):
            raise ConnectionError("no network\nmore")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with pytest.raises(CheckpointError, match=r"'heml-tests/unknown' is no folder.*: no network$"):
        checkpoint_identity("heml-tests/unknown")


def test_paths_start_at_the_recipe(folder, tmp_path):
    assert resolve_checkpoint("weights", tmp_path) == str(folder)
    assert resolve_checkpoint(str(folder)) == str(folder)
    assert resolve_checkpoint("owner/name", tmp_path) == "owner/name"
    with pytest.raises(CheckpointError, match="no such folder"):
        resolve_checkpoint("./weight", tmp_path)
    settings = MetricSettings.model_validate(
        {"trunk": {"backbone": "weights"}}, context={"folder": tmp_path}
    )
    assert settings.trunk == str(folder)
