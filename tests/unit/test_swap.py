"""Folders are replaced at once, and a writer that was killed in between loses no version."""

from __future__ import annotations

from pathlib import Path

import pytest

from heml.storage import atomic_write
from heml.storage.atomic_write import write_aside
from heml.storage.swap import exchange

#: Of no process: above the limit of Linux.
GONE = 2**22 + 1


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(atomic_write, "exchange", lambda first, second: False)
    target = folder(tmp_path / "target", "old")
    with write_aside(target) as aside:
        folder(aside, "new")
    assert (target / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_exchange_says_whether_it_could(tmp_path):
    first, second = folder(tmp_path / "a", "1"), folder(tmp_path / "b", "2")
    assert not exchange(first, tmp_path / "missing")
    assert (first / "file").read_text() == "1"
    if exchange(first, second):
        assert [(p / "file").read_text() for p in (first, second)] == ["2", "1"]


def test_the_last_version_of_a_killed_writer_comes_back(tmp_path):
    target = tmp_path / "target"
    folder(tmp_path / f".target.{GONE}.old", "old")
    folder(tmp_path / f".target.{GONE}.tmp", "half")
    with pytest.raises(RuntimeError), write_aside(target):
        raise RuntimeError
    assert (target / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
