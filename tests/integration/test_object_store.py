"""Results in an object store that speaks S3: whole stages or none, on every machine the same."""

import dataclasses
import json
import logging

import dagster as dg
import pytest

from heml.compute.progress import silent
from heml.dataset.revocation import revoke
from heml.images.revoked import read_revoked
from heml.sources.ingest import ingest
from heml.storage.atomic_write import write_aside
from heml.storage.forced import force
from heml.storage.remote import Remote, StoreError
from heml.storage.store import Store, open_store
from pipelines.build import build_defs

BUCKET, SECRET = "heml-results", "a-secret-nobody-prints"


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
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    remote = s3fs.S3FileSystem()
    remote.mkdir(BUCKET)
    yield remote
    remote.rm(BUCKET, recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def machine(bucket, tmp_path, monkeypatch):
    """The same store seen from machines with caches of their own."""

    def on(name):
        monkeypatch.setenv("HEML_CACHE", str(tmp_path / name))
        return open_store("faces", f"s3://{BUCKET}/results")

    return on


def finish(store, content, fingerprint="a", names=("part-00000", "part-00001")):
    """A stage of some files."""
    with write_aside(store.images) as folder:
        folder.mkdir()
        for name in names:
            (folder / f"{name}.parquet").write_bytes(content)
    store.finish("images", fingerprint, {"rows": len(content)}, [store.images])


def files(store):
    return {path.name: path.read_bytes() for path in store.images.glob("*")}


def test_finished_stage_is_found_on_another_machine(machine, bucket):
    finish(machine("one"), b"first")
    other = machine("two")
    with pytest.raises(FileNotFoundError):
        other.summary("images")
    other.pull()
    assert other.finished("images", "a") == {"rows": 5}
    assert files(other) == {"part-00000.parquet": b"first", "part-00001.parquet": b"first"}
    assert bucket.exists(f"{BUCKET}/results/faces/images/part-00001.parquet")


def test_newer_result_replaces_the_older_with_all_its_files(machine, bucket):
    one, two = machine("one"), machine("two")
    finish(one, b"first")
    two.pull()
    finish(two, b"second", "b", names=["part-00000"])
    one.pull()
    assert files(one) == {"part-00000.parquet": b"second"}
    assert one.finished("images", "b") == {"rows": 6}
    assert not bucket.exists(f"{BUCKET}/results/faces/images/part-00001.parquet")


def test_what_is_the_same_is_not_moved_again(machine, bucket, monkeypatch):
    store = machine("one")
    finish(store, b"first")

    def refuse(*args, **kwargs):
        raise AssertionError("moved again")

    monkeypatch.setattr(bucket, "put_file", refuse)
    monkeypatch.setattr(bucket, "get_file", refuse)
    assert store.finished("images", "a") is not None
    assert store.remote.pull(store.root) == []


@pytest.mark.parametrize("uploaded", [0, 1])
def test_interrupted_upload_is_no_finished_stage_and_is_taken_up(
    machine, bucket, monkeypatch, uploaded
):
    one = machine("one")
    finish(one, b"first")
    put, done = bucket.put_file, []

    def interrupted(*args, **kwargs):
        if len(done) == uploaded:
            raise KeyboardInterrupt
        done.append(args)
        return put(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(bucket, "put_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            finish(one, b"other", "b")
    other = machine("two")
    other.pull()
    assert other.finished("images", "a") is None
    assert other.finished("images", "b") is None
    one.pull()
    assert one.finished("images", "b") == {"rows": 5}, "kept here, and uploaded now"
    other.pull()
    assert other.finished("images", "b") == {"rows": 5}
    assert set(files(other).values()) == {b"other"}


def test_result_that_could_not_be_uploaded_is_not_replaced_by_the_older(
    machine, bucket, monkeypatch
):
    store = machine("one")
    finish(store, b"first")

    def away(*args, **kwargs):
        raise ConnectionError("no route to host")

    with monkeypatch.context() as patched:
        patched.setattr(bucket, "cat_file", away)
        with pytest.raises(StoreError, match="no route to host") as error:
            finish(store, b"second", "b")
    assert f"s3://{BUCKET}/results/faces" in str(error.value)
    store.pull()
    assert set(files(store).values()) == {b"second"}
    assert store.finished("images", "b") is not None
    other = machine("two")
    other.pull()
    assert set(files(other).values()) == {b"second"}


def test_damaged_object_counts_as_not_finished(machine, bucket, caplog):
    finish(machine("one"), b"first")
    bucket.pipe_file(f"{BUCKET}/results/faces/images/part-00000.parquet", b"frist")
    other = machine("two")
    with caplog.at_level(logging.WARNING):
        other.pull()
    assert other.finished("images", "a") is None
    assert "part-00000.parquet is not what the manifest of images says" in caplog.text


def test_manifest_that_names_files_outside_the_store_is_not_used(machine, bucket, tmp_path):
    finish(machine("one"), b"first")
    path = f"{BUCKET}/results/faces/manifests/images.json"
    manifest = json.loads(bucket.cat_file(path))
    for key in ("files", "sha256"):
        manifest[key] = {"../../../stolen": next(iter(manifest[key].values()))}
    bucket.pipe_file(path, json.dumps(manifest).encode())
    other = machine("two")
    other.pull()
    assert not list(tmp_path.rglob("stolen"))
    assert other.finished("images", "a") is None


def test_revoked_images_are_known_to_every_machine(machine, dataset, taxonomy):
    dataset.good(16)
    dataset.write()
    one, two = machine("one"), machine("two")
    ingest(one, dataset.settings(), dataset.root, taxonomy, True, silent)
    two.pull()
    gone = revoke(one, [next(iter(_ids(one)))])
    two.pull()
    assert list(read_revoked(two).images) == gone


def _ids(store):
    from heml.images.images_table import image_index

    return image_index(store, [])["image_id"]


def test_a_forced_stage_does_not_come_back_from_the_store(machine, bucket):
    store, other = machine("one"), machine("two")
    finish(store, b"first")
    assert force(store, "images", "run")
    other.pull()
    assert other.stages() == []
    store.pull()
    assert store.finished("images", "a") is None
    finish(store, b"again")
    other.pull()
    assert other.finished("images", "a") == {"rows": 5}


def test_withdrawn_file_is_gone_everywhere(machine, bucket):
    store = machine("one")
    store.root.mkdir(parents=True)
    store.report.write_text("page")
    store.finish("report", "a", {}, [store.report])
    store.withdraw("report", store.report)
    assert not store.report.exists()
    assert not bucket.exists(f"{BUCKET}/results/faces/report.html")


def test_secrets_are_in_no_file_and_no_definition(machine, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        store = machine("one")
        finish(store, b"first")
    recipe = tmp_path / "faces.yaml"
    recipe.write_text("name: faces\nsource: {kind: portraits}\n")
    defs = build_defs(recipe_files=[recipe], store_root=f"s3://{BUCKET}/results")
    specs = repr([spec.metadata for spec in defs.resolve_all_asset_specs()])
    written = b"".join(p.read_bytes() for p in store.root.rglob("*") if p.is_file())
    assert SECRET not in specs + repr(store) + caplog.text
    assert SECRET.encode() not in written


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"s3://key:{SECRET}@bucket/results", "credentials do not belong in the URL"),
        (f"s3://bucket/results?secret={SECRET}", "credentials do not belong in the URL"),
        ("http://host/results", "'http' is no store"),
        ("zip://a::s3://bucket", "'zip' is no store"),
    ],
)
def test_url_that_is_no_store_is_refused_without_its_secret(url, message):
    with pytest.raises(StoreError, match=message) as error:
        open_store("faces", url)
    assert SECRET not in str(error.value)


def test_bucket_that_is_not_there_is_named(bucket, tmp_path):
    store = Store(tmp_path / "faces", Remote("s3://no-such-bucket/faces"))
    with pytest.raises(StoreError, match="s3://no-such-bucket/faces cannot be used"):
        finish(store, b"first")
    assert dataclasses.replace(store, remote=None).finished("images", "a") is not None


def test_folder_is_a_folder(tmp_path):
    assert open_store("faces", tmp_path) == Store(tmp_path / "faces")


def test_definitions_say_where_results_lie(tmp_path, monkeypatch):
    recipe = tmp_path / "faces.yaml"
    recipe.write_text("name: faces\nsource: {kind: portraits}\n")
    monkeypatch.setenv("HEML_CACHE", str(tmp_path / "cache"))

    def metadata(root):
        graph = build_defs(recipe_files=[recipe], store_root=root).resolve_asset_graph()
        return graph.get(dg.AssetKey(["faces", "bias_scores"])).metadata

    there = metadata(f"s3://{BUCKET}/results")
    assert there["url"].value == f"s3://{BUCKET}/results/faces/bias_scores.parquet"
    assert "path" not in there
    here = metadata(tmp_path / "store")
    assert here["path"].value == str(tmp_path / "store/faces/bias_scores.parquet")
