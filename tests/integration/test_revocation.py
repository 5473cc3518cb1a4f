"""After a revocation no byte and no pixel of the images is left: here, in the object store, and on
machines that pull from it."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import dataset_store
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, UnidentifiedImageError

import heml
from heml.dataset import purge, revocation
from heml.dataset.documents import complete_documents
from heml.dataset.export import write_exports
from heml.dataset.export_format import EXPORTS
from heml.dataset.revocation import revoke
from heml.images.images_table import decode_image, image_index, iterate_images
from heml.storage.remote import Remote, StoreError
from heml.storage.store import RevokedMeanwhile, Store

_DATA_URI = re.compile(rb"data:image/\w+;base64,([A-Za-z0-9+/=]+)")


def binaries(path: Path) -> Iterator[bytes]:
    """Everything in a file that could be an image."""
    content = path.read_bytes()
    yield content
    yield from map(base64.b64decode, _DATA_URI.findall(content))
    if path.suffix == ".parquet":
        for column in pq.read_table(path).columns:
            yield from _values(column.combine_chunks())
    elif path.suffix == ".tar":
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                yield file.read()


def _values(array: pa.Array) -> Iterator[bytes]:
    if isinstance(array, pa.ChunkedArray):
        for chunk in array.chunks:
            yield from _values(chunk)
    elif pa.types.is_struct(array.type):
        for number in range(array.type.num_fields):
            yield from _values(array.field(number))
    elif pa.types.is_binary(array.type):
        yield from (value for value in array.to_pylist() if value)


def shown(root: Path) -> tuple[set[str], set[str]]:
    """Hashes of all binaries below a folder, and of the pixels of those that are images."""
    bytes_, pixels = set(), set()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        for data in binaries(path):
            digest = hashlib.sha256(data).hexdigest()
            if digest not in bytes_:
                bytes_.add(digest)
                try:
                    decoded = decode_image(data)
                except (UnidentifiedImageError, OSError):
                    continue
                pixels.add(hashlib.sha256(decoded.tobytes()).hexdigest())
    return bytes_, pixels


def finished_store(folder: Path, remote: Path | None = None) -> Store:
    """With dataset, exports, and a report that shows all train images."""
    store = dataset_store.make_store(folder / "store", 40, 12)
    run = dataset_store.run_of(store)
    dataset_store.write(store)
    store.finish("debias_effect", "none", {"dataset": "another"}, [])
    complete_documents(run, dataset_store.ABOUT)
    write_exports(run, EXPORTS.names())
    figures = "".join(
        f'<img src="data:image/png;base64,{base64.b64encode(row["image"]["bytes"]).decode()}">'
        for batch in iterate_images(store, ["image"])
        for row in batch.to_pylist()
    )
    store.report.write_text(figures)
    store.finish("report", "r", {}, [store.report])
    if remote is None:
        return store
    kept = Store(store.root, Remote(f"file://{remote}"))
    for stage in kept.stages():
        assert kept.remote is not None
        kept.remote.push(kept.root, stage)
    return kept


def images_of(store: Store, ids: list[str]) -> tuple[set[str], set[str]]:
    """Hashes of the bytes and of the pixels of images, and of the samples made of them."""
    found = [
        row["image"]["bytes"]
        for batch in iterate_images(store, ["image_id", "image"])
        for row in batch.to_pylist()
        if row["image_id"] in ids
    ]
    samples = pq.read_table(store.recombined_samples).to_pylist()
    found += [r["image"]["bytes"] for r in samples if {r["host_id"], r["donor_id"]} & {*ids}]
    return (
        {hashlib.sha256(data).hexdigest() for data in found},
        {hashlib.sha256(decode_image(data).tobytes()).hexdigest() for data in found},
    )


@pytest.fixture
def ids() -> list[str]:
    return []


def parents_and_a_test_image(store: Store) -> list[str]:
    samples = pq.read_table(store.recombined_samples)
    index = image_index(store, [])
    held_out = index.loc[index["split"] == "test", "image_id"].iloc[0]
    return [samples["host_id"][0].as_py(), samples["donor_id"][1].as_py(), held_out]


def test_no_byte_and_no_pixel_is_left_on_any_machine(tmp_path):
    remote = tmp_path / "remote"
    one = finished_store(tmp_path / "one", remote)
    two = Store(tmp_path / "two", Remote(f"file://{remote}"))
    two.pull()
    gone = parents_and_a_test_image(one)
    revoked_bytes, revoked_pixels = images_of(one, gone)
    everywhere = (one.root, remote, two.root)
    for folder in everywhere:
        found = shown(folder)
        assert revoked_bytes <= found[0]
        assert revoked_pixels <= found[1]

    revoke(one, gone)
    two.pull()
    for folder in everywhere:
        found = shown(folder)
        assert not revoked_bytes & found[0], folder
        assert not revoked_pixels & found[1], folder
        assert not (folder / "report.html").exists()
    assert not two.exports.exists() or not list(two.exports.rglob("*.png"))

    dataset_store.write(one)
    write_exports(dataset_store.run_of(one), EXPORTS.names())
    two.pull()
    for folder in everywhere:
        found = shown(folder)
        assert not revoked_bytes & found[0], folder
        assert not revoked_pixels & found[1], folder
    left = heml.open_dataset(one.rebalanced_dataset)
    assert not {*gone} & {i for split in left.splits for i in left.table(split)["image_id"]}
    assert {p.name for p in two.exports.iterdir()} == {*EXPORTS.names()}


def test_a_machine_that_did_not_hear_of_it_uploads_nothing(tmp_path):
    remote = tmp_path / "remote"
    one = finished_store(tmp_path / "one", remote)
    two = Store(tmp_path / "two", Remote(f"file://{remote}"))
    two.pull()
    revoke(one, parents_and_a_test_image(one))
    two.report.write_text("a page that was drawn meanwhile")
    with pytest.raises(StoreError, match="report: images were revoked on another machine"):
        two.finish("report", "another", {}, [two.report])
    assert not two.report.exists()
    assert not (remote / "report.html").exists()


def test_a_stage_that_ran_meanwhile_leaves_no_result(tmp_path):
    store = finished_store(tmp_path / "one")
    before = store.revocations
    revoke(store, parents_and_a_test_image(store))
    store.report.write_text("a page")
    with pytest.raises(RevokedMeanwhile, match="while this stage ran"):
        store.finish("report", "another", {}, [store.report], before)
    assert not store.report.exists()


@pytest.mark.parametrize("place", ["withdraw", "purge"])
def test_an_interrupted_revocation_is_completed_by_the_next(tmp_path, monkeypatch, place):
    store = finished_store(tmp_path / "one")
    gone = parents_and_a_test_image(store)
    revoked_bytes, _ = images_of(store, gone)
    with monkeypatch.context() as patch:

        def fail(*args: object) -> None:
            raise OSError("no network")

        if place == "withdraw":
            patch.setattr(revocation, "_withdraw", fail)
        else:
            patch.setattr(purge, "_without", fail)
        with pytest.raises(OSError, match="no network"):
            revoke(store, gone)
    assert store.report.exists() == (place == "withdraw")
    assert revoke(store, gone) == []
    assert not revoked_bytes & shown(store.root)[0]
    assert not store.report.exists()


def test_no_view_is_left(tmp_path):
    store = finished_store(tmp_path)
    store.node_views.mkdir()
    (store.node_views / "hair.content.key.npy").write_bytes(b"pixels")
    revoke(store, parents_and_a_test_image(store))
    assert not store.node_views.exists()


def test_what_an_unfinished_stage_left_loses_the_images_too(tmp_path):
    store = finished_store(tmp_path)
    gone = parents_and_a_test_image(store)
    store.forget("segments")
    assert set(gone) & set(pq.read_table(store.segments)["image_id"].to_pylist())
    revoke(store, gone)
    assert not set(gone) & set(pq.read_table(store.segments)["image_id"].to_pylist())
    assert "segments" not in store.stages()


def test_counts_follow_the_images(tmp_path):
    store = finished_store(tmp_path / "one")
    gone = parents_and_a_test_image(store)
    before = store.summary("images"), store.summary("recombined_samples")
    made = pq.read_table(store.recombined_samples).to_pylist()
    descend = [r for r in made if {r["host_id"], r["donor_id"]} & {*gone} and r["accepted"]]
    revoke(store, gone)
    after = store.summary("images")
    assert after["accepted"] == before[0]["accepted"] - 3 == len(image_index(store, []))
    assert after["read"] == after["accepted"] + after["quarantined"] + after["excluded"]
    written = dataset_store.write(store).summary
    assert written["descendants"] == len(descend)
    segments = {*pq.read_table(store.segments)["image_id"].to_pylist()}
    assert not segments & {*gone}
    assert np.isclose(written["rows"], before[0]["accepted"] - 3 + 8 - len(descend))
    with Image.open(io.BytesIO(made[0]["image"]["bytes"])) as image:
        assert image.size == (32, 32)
