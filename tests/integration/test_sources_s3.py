"""A dataset in an object store that speaks S3."""

from pathlib import Path

import pytest

from heml.compute.progress import silent
from heml.sources.folder import FolderReader
from heml.sources.ingest import ingest, quarantined
from heml.sources.raw import SourceError

BUCKET = "heml-test"


@pytest.fixture(scope="module")
def endpoint():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint, monkeypatch):
    """An empty bucket; endpoint and credentials come from the environment alone."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    remote = s3fs.S3FileSystem()
    remote.mkdir(BUCKET)
    yield remote
    remote.rm(BUCKET, recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_bucket_is_ingested_and_watched(dataset, store, taxonomy, bucket):
    dataset.good(16)
    dataset.row(file_name="images/nowhere.png")
    dataset.row(file_name="../secret.png")
    dataset.write()
    bucket.put(str(dataset.root), f"{BUCKET}/faces", recursive=True)
    settings = dataset.settings(root=f"s3://{BUCKET}/faces")
    counts = ingest(store, settings, Path("/"), taxonomy, True, silent).summary
    assert (counts["accepted"], counts["quarantined"]) == (16, 2)
    reasons = [row["reason"] for row in quarantined(store)]
    assert reasons == ["missing_file", "unsafe_path"]
    assert ingest(store, settings, Path("/"), taxonomy, True, silent).reused
    bucket.pipe_file(f"{BUCKET}/faces/images/0003.png", dataset.root.joinpath("x").name.encode())
    assert not ingest(store, settings, Path("/"), taxonomy, True, silent).reused


def test_a_bucket_that_is_not_there_is_named(dataset, bucket):
    with pytest.raises(SourceError, match="s3://no-such-bucket/faces"):
        FolderReader(dataset.settings(root="s3://no-such-bucket/faces"), Path("/")).check()
