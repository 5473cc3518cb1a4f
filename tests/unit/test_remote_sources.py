"""Roots that are URLs: the same records as from a folder, and nothing from outside."""

import json
import zipfile
from pathlib import Path

import fsspec
import pytest

from heml.sources.files import LocalFiles, RemoteFiles, open_files
from heml.sources.folder import FolderReader
from heml.sources.raw import SourceError, Unacceptable


@pytest.fixture
def memory(dataset):
    """The dataset as a folder of an object store."""
    dataset.good(8)
    dataset.write()
    remote = fsspec.filesystem("memory")
    for path in dataset.root.rglob("*"):
        if path.is_file():
            remote.pipe_file(f"/bucket/faces/{path.relative_to(dataset.root)}", path.read_bytes())
    yield remote
    remote.rm("/bucket", recursive=True)


@pytest.fixture
def archive(dataset) -> Path:
    dataset.good(8)
    dataset.write()
    path = dataset.root.parent / "faces.zip"
    with zipfile.ZipFile(path, "w") as file:
        for member in dataset.root.rglob("*"):
            file.write(member, f"faces/{member.relative_to(dataset.root)}")
    return path


def source(dataset, root: str, base=Path("/")) -> FolderReader:
    return FolderReader(dataset.settings(root=root), base)


def test_an_object_store_gives_the_same_records(dataset, memory):
    reader = source(dataset, "memory://bucket/faces")
    reader.check()
    assert list(reader.records()) == list(source(dataset, str(dataset.root)).records())


def test_an_archive_gives_the_same_records(dataset, archive):
    for root in (f"zip://faces::{archive}", f"zip://faces::file://{archive}"):
        reader = source(dataset, root)
        reader.check()
        assert list(reader.records()) == list(source(dataset, str(dataset.root)).records())


def test_an_archive_may_be_relative_to_the_recipe(dataset, archive):
    reader = source(dataset, "zip://faces::faces.zip", base=archive.parent)
    reader.check()
    assert reader.classes() == {0: "background", 1: "shape", 2: "void"}


def test_state_follows_remote_files(dataset, memory):
    root = "memory://bucket/faces"
    states = [json.dumps(source(dataset, root).state())]

    def changed() -> bool:
        states.append(json.dumps(source(dataset, root).state()))
        return states[-1] != states[-2]

    assert not changed()
    memory.pipe_file("/bucket/faces/images/0003.png", b"another")
    assert changed()
    memory.pipe_file(
        "/bucket/faces/metadata.csv", (dataset.root / "metadata.csv").read_bytes()[:-9]
    )
    assert changed()


def test_state_follows_an_archive(dataset, archive):
    before = source(dataset, f"zip://faces::{archive}").state()
    dataset.put("images/0003.png", b"another")
    with zipfile.ZipFile(archive, "w") as file:
        for member in dataset.root.rglob("*"):
            file.write(member, f"faces/{member.relative_to(dataset.root)}")
    assert source(dataset, f"zip://faces::{archive}").state() != before


@pytest.mark.parametrize("name", ["../secret.png", "a/../../secret.png", "/secret.png", "%2e%2e/s"])
def test_names_out_of_a_remote_root_are_refused(memory, name):
    memory.pipe_file("/bucket/secret.png", b"secret")
    files = open_files("memory://bucket/faces", Path("/"), 1000)
    with pytest.raises(Unacceptable) as error:
        files.read(name, "missing_file")
    assert error.value.refusal.reason == "unsafe_path"


def test_reasons_are_the_same_as_in_a_folder(memory):
    memory.pipe_file("/bucket/faces/huge.png", bytes(1001))
    files = open_files("memory://bucket/faces", Path("/"), 1000)
    for name, reason in (
        ("nowhere.png", "missing_file"),
        ("huge.png", "too_large"),
        ("images", "missing_file"),
    ):
        with pytest.raises(Unacceptable) as error:
            files.read(name, "missing_file")
        assert error.value.refusal.reason == reason


def test_a_damaged_member_is_refused_alone(dataset, archive):
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        place = file.getinfo("faces/images/0000.png").header_offset
    data[place + 80] ^= 255
    archive.write_bytes(data)
    first, *others = source(dataset, f"zip://faces::{archive}").records()
    assert first.refusal.reason == "unreadable_file"
    assert all(record.refusal is None for record in others)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/data", "'ftp' is no known kind of URL"),
        ("dask://host/data", "'dask' is no known kind"),
        ("filecache::s3://bucket", "'filecache' is no known kind"),
        ("reference://x::s3://bucket", "'reference' is no known kind"),
        ("s3://key:secret@bucket/x", "carries a password"),
    ],
)
def test_urls_that_are_not_plain_data_are_refused(url, words):
    with pytest.raises(SourceError, match=words):
        open_files(url, Path("/"), 1000)


def test_a_missing_remote_folder_is_named(dataset, memory):
    with pytest.raises(SourceError, match="no folder memory://bucket/nowhere"):
        source(dataset, "memory://bucket/nowhere").check()


def test_file_urls_follow_links_as_carefully_as_paths(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/link").symlink_to(tmp_path / "secret")
    files = open_files(f"file://{tmp_path}/data", Path("/"), 1000)
    assert isinstance(files, LocalFiles)
    with pytest.raises(Unacceptable):
        files.read("link", "missing_file")
    assert isinstance(open_files("memory://x", Path("/"), 1), RemoteFiles)
